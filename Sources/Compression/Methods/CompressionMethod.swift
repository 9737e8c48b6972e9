package import CPUBackend
package import Compute
package import Models
package import Numerics

/// One linear layer to be compressed.
package struct LinearProblem {
  package let site: LinearSite
  package let scheme: LayerScheme
  /// `[outputs, inputs]`, already folded. Methods leave it as it is.
  package let weight: Matrix
  /// Of the inputs, where calibration data was given.
  package let statistics: ActivationStatistics?
  /// What scales and 16-bit values are stored as.
  package let scaleType: DataType

  package init(
    site: LinearSite, scheme: LayerScheme, weight: Matrix, statistics: ActivationStatistics?,
    scaleType: DataType
  ) {
    self.site = site
    self.scheme = scheme
    self.weight = weight
    self.statistics = statistics
    self.scaleType = scaleType
  }

  /// The grid of the scheme; a group that does not divide the row has been replaced before.
  package func grid(bits: Int) -> Grid {
    Grid(
      scheme.convention, bits: bits, groupSize: scheme.groupSize ?? weight.columns, scaleType: scaleType)
  }
}

/// What became of it.
package struct CompressedLinear {
  package var store: LinearWeight.Store
  package var correction: LowRankCorrection?
  /// What the store stands for, correction included: `[outputs, inputs]`.
  package var values: Matrix
  /// What the user should know, such as a fallback that was taken.
  package var notes: [String] = []

  package init(_ store: LinearWeight.Store, values: Matrix, notes: [String] = []) {
    self.store = store
    self.values = values
    self.notes = notes
  }
}

package enum MethodError: Error, Equatable, Sendable {
  case needsCalibration(method: String)
  case needsSparsity(method: String)
  case needsBits(method: String)
  case notFinite(module: String, what: String)
  case store(module: String, StoreError)
  case unsupported(method: String, reason: String)
}

extension MethodError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .needsCalibration(let method): "\(method) needs calibration data: give --calibration FILE"
    case .needsSparsity(let method): "\(method) needs to know how much to prune: give --sparsity 0.5 or 2:4"
    case .needsBits(let method): "\(method) needs a number of bits: give --bits"
    case .notFinite(let module, let what):
      "\(module): \(what) holds a NaN or an infinity; the checkpoint or the calibration data is damaged"
    case .store(let module, let error): "\(module): \(error)"
    case .unsupported(let method, let reason): "\(method): \(reason)"
    }
  }
}

/// A compression method: one file with a constant of this type, and one line in `MethodRegistry`.
package struct CompressionMethod: Sendable {
  /// What has to be measured.
  package enum Need: Int, Sendable, Comparable {
    case nothing, channels, gram

    package static func < (left: Need, right: Need) -> Bool { left.rawValue < right.rawValue }
  }

  /// What its weights are made of.
  package enum Store: Sendable {
    /// Codes and scales, which every format of codes holds.
    case codes
    /// More than these, such as columns in 16 bits.
    case extended
    /// What a mask keeps.
    case sparse
  }

  package typealias Solve =
    @Sendable (LinearProblem, Recipe.Options, CPUBackend) throws -> CompressedLinear
  /// Factors for the shared input channels of some layers, which are divided out of their producer and multiplied
  /// into their columns; nil leaves them alone.
  package typealias Balance =
    @Sendable ([LinearProblem], ActivationStatistics, Recipe.Options, CPUBackend) throws -> [Float]?

  package let name: String
  package let summary: String
  package let need: Need
  package let store: Store
  /// Its stores can say how activations are rounded.
  package let roundsActivations: Bool
  /// The most inputs that can share a scale; nil for any number.
  package let largestGroup: Int?
  /// A recipe with this method's usual settings.
  package let defaults: Recipe
  package let balance: Balance?
  package let solve: Solve

  package init(
    name: String, summary: String, need: Need, store: Store = .codes, roundsActivations: Bool = true,
    largestGroup: Int? = nil, defaults: (inout Recipe) -> Void = { _ in },
    balance: Balance? = nil, solve: @escaping Solve
  ) {
    self.name = name
    self.summary = summary
    self.need = need
    self.store = store
    self.largestGroup = largestGroup
    self.roundsActivations = roundsActivations
    var recipe = Recipe(method: name)
    defaults(&recipe)
    self.defaults = recipe
    self.balance = balance
    self.solve = solve
  }

  /// Refuses what this method cannot do, before anything is read or written for it.
  package func check(_ recipe: Recipe, hasCalibration: Bool) throws(MethodError) {
    guard roundsActivations || recipe.scheme.activations == .none else {
      throw .unsupported(
        method: name, reason: "its weights meet activations as they are; leave --activations out")
    }
    if recipe.scheme.activations != .none, recipe.scheme.bits == nil {
      throw .needsBits(method: "\(name) with --activations")
    }
    try checkStore(recipe)
    if recipe.scheme.activations == .tensor, recipe.options.outlierThreshold != nil {
      throw .unsupported(
        method: "--activations tensor", reason: "outlying activations are found token by token")
    }
    guard !hasCalibration else { return }
    if need != .nothing { throw .needsCalibration(method: name) }
    if recipe.scheme.activations == .tensor { throw .needsCalibration(method: "--activations tensor") }
    if recipe.options.errorBudget != nil { throw .needsCalibration(method: "an error budget") }
    if recipe.budgetBytes != nil { throw .needsCalibration(method: "a byte budget") }
  }

  private func checkStore(_ recipe: Recipe) throws(MethodError) {
    let isSparse = recipe.scheme.sparsity != nil || recipe.overrides.contains { $0.sparsity != nil }
    if store == .sparse {
      guard isSparse || recipe.options.errorBudget != nil else { throw .needsSparsity(method: name) }
    } else {
      if isSparse || recipe.options.errorBudget != nil {
        throw .unsupported(method: name, reason: "it prunes nothing; use sparsegpt, which takes --bits too")
      }
      if recipe.scheme.bits == nil { throw .needsBits(method: name) }
    }
    guard let largestGroup else { return }
    let sizes = [recipe.scheme.groupSize ?? 0] + recipe.overrides.compactMap(\.groupSize)
    if let size = sizes.first(where: { $0 == 0 || $0 > largestGroup }) {
      throw .unsupported(
        method: name,
        reason: "groups of at most \(largestGroup) inputs, not \(size == 0 ? "whole rows" : "\(size)")")
    }
  }
}

/// All methods; a new one is one line here.
package enum MethodRegistry {
  package static let methods: [CompressionMethod] = [
    .rtn, .gptq, .awq, .smoothQuant, .zeroQuant, .zeroQuantV2, .owq, .spqr, .llmInt8,
    .magnitude, .wanda, .sparseGPT,
  ]

  package static func method(named name: String) -> CompressionMethod? {
    methods.first { $0.name == name }
  }
}
