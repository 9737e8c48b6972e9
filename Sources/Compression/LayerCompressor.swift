package import CPUBackend
package import Checkpoints
internal import Compute
internal import Glibc
package import Models
internal import Numerics

/// What became of one linear layer.
package struct CompressedSite {
  package let site: LinearSite
  /// nil where the recipe left it alone.
  package let result: CompressedLinear?
  package let scheme: LayerScheme?
  package let errors: SiteErrors
  package var notes: [String]
}

/// How much the outputs of a linear layer changed.
package struct SiteErrors: Sendable, Equatable {
  /// `‖ΔW‖² / ‖W‖²`.
  package var weight: Double
  /// The same of the outputs over the calibration tokens; nil without calibration.
  package var output: Double?
  /// The largest activation over the median of the channels' largest, and over the layer's mean size.
  package var outlierRatio: Double?
  package var absoluteMaximum: Double?

  /// Signal to quantisation noise in dB.
  package var signalToNoise: Double? {
    output.map { $0 > 0 ? -10 * log10($0) : .infinity }
  }
}

/// Compresses one layer after the other: measure, balance, solve, go on with what became of it.
package final class LayerCompressor {
  private let checkpoint: Checkpoint
  private let configuration: ModelConfiguration
  private let inventory: TensorInventory
  private let recipe: Recipe
  private let method: CompressionMethod
  private let backend: CPUBackend
  private let calibrator: Calibrator?
  private let foldMap: FoldMap
  private let format: CheckpointFormat
  package let sites: [[LinearSite]]

  /// - Parameters:
  ///   - calibrator: nil where there is no calibration data.
  ///   - format: of the output, which may hold scales of some types only.
  ///   - isFinished: no layer is left to be compressed.
  package init(
    _ recipe: Recipe, checkpoint: Checkpoint, configuration: ModelConfiguration, calibrator: Calibrator?,
    backend: CPUBackend, format: CheckpointFormat = .compressedTensors, isFinished: Bool = false
  ) throws {
    guard let method = MethodRegistry.method(named: recipe.method) else {
      throw Recipe.FieldProblem(field: "method", expected: "a known method")
    }
    if !isFinished { try method.check(recipe, hasCalibration: calibrator != nil) }
    self.recipe = recipe
    self.method = method
    self.checkpoint = checkpoint
    self.configuration = configuration
    self.backend = backend
    self.calibrator = calibrator
    self.format = format
    inventory = try TensorInventory(configuration, in: checkpoint)
    foldMap = FoldMap(configuration)
    sites = inventory.sites(configuration)
  }

  /// Layers that read the same activation, in the order of computation.
  private func sets(of layer: Int) -> [[LinearSite]] {
    var sets: [[LinearSite]] = []
    for site in sites[layer] {
      if let last = sets.last?.first, last.role.input == site.role.input {
        sets[sets.count - 1].append(site)
      } else {
        sets.append([site])
      }
    }
    return sets
  }

  /// Compresses a layer. Afterwards `advance` moves the calibration on behind it.
  package func compress(layer: Int) throws -> (weights: LayerWeights, sites: [CompressedSite]) {
    let weights = try LayerWeights(
      sites[layer], norms: norms(layer: layer), checkpoint: checkpoint, decoder: configuration.decoder)
    // Balancing needs all inputs of the untouched layer at once; methods that look at one set at a time see those
    // before it already compressed.
    let goesInSets = method.balance == nil && method.need != .nothing && recipe.options.trueSequential
    var measured: [TracePoint.LayerPoint: ActivationStatistics] = [:]
    if !goesInSets { measured = try measure(layer) }
    try balance(weights, layer, &measured)
    var results: [CompressedSite] = []
    var values: [LinearSite.Role: Matrix] = [:]
    for set in sets(of: layer) {
      guard let point = set.first?.role.input else { continue }
      if goesInSets, let calibrator {
        if point == .feedForwardNorm { try calibrator.advanceAttention(layer) }
        measured = [
          point: try calibrator.statistics(of: point, layer: layer, gram: true, keeps: true)
        ]
      }
      for site in set {
        let result = try compress(site, weights, measured[point])
        results.append(result)
        if let found = result.result { values[site.role] = found.values }
      }
      if goesInSets, let calibrator {
        try weights.install(set.map(\.role), values: values, in: calibrator.graph)
      }
    }
    if let calibrator {
      try weights.install(weights.sites.map(\.role), values: values, in: calibrator.graph)
      if !goesInSets { try calibrator.advanceAttention(layer) }
      try calibrator.advanceFeedForward(layer)
      calibrator.graph.restore(layer: layer)
    }
    return (weights, results)
  }

  /// What rounding each linear layer to each of these numbers of bits would cost, on the untouched model. Goes on to
  /// the next layer.
  package func candidates(
    layer: Int, bits: [Int]
  ) throws -> [(site: LinearSite, candidates: [BitAllocation.Candidate])] {
    let weights = try LayerWeights(
      sites[layer], norms: norms(layer: layer), checkpoint: checkpoint, decoder: configuration.decoder)
    let measured = try measure(layer)
    var results: [(site: LinearSite, candidates: [BitAllocation.Candidate])] = []
    for site in sites[layer] {
      guard let statistics = measured[site.role.input],
        let (problem, _) = try problem(site, weights, statistics), let gram = statistics.gram?.copy()
      else { continue }
      gram.mirrorUpper()
      var found: [BitAllocation.Candidate] = []
      for count in bits {
        var rows = QuantizedRows(
          rows: problem.weight.rows, columns: problem.weight.columns, grid: problem.grid(bits: count))
        let error = Matrix(rows: rows.rows, columns: rows.columns)
        backend.quantize(problem.weight, into: &rows, values: error)
        error.subtract(problem.weight)
        let loss = try backend.quadraticForms(error, gram).reduce(0, +)
        found.append(
          BitAllocation.Candidate(bits: count, bytes: try rows.weight().byteCount, loss: loss))
      }
      results.append((site, found))
    }
    if let calibrator {
      try calibrator.advanceAttention(layer)
      try calibrator.advanceFeedForward(layer)
    }
    return results
  }

  package func norms(layer: Int) -> (attention: String, feedForward: String) {
    inventory.norms(layer: layer, configuration.decoder)
  }

  private func measure(_ layer: Int) throws -> [TracePoint.LayerPoint: ActivationStatistics] {
    guard let calibrator else { return [:] }
    var measured: [TracePoint.LayerPoint: ActivationStatistics] = [:]
    for set in sets(of: layer) {
      guard let point = set.first?.role.input else { continue }
      measured[point] = try calibrator.statistics(of: point, layer: layer, gram: true)
    }
    return measured
  }

  // MARK: Balancing

  /// Folds the factors the method wants, and turns the statistics into those of the inputs as they are afterwards.
  private func balance(
    _ weights: LayerWeights, _ layer: Int,
    _ measured: inout [TracePoint.LayerPoint: ActivationStatistics]
  ) throws {
    guard let balance = method.balance else { return }
    for fold in foldMap.folds {
      guard let point = fold.consumers.first?.input, let statistics = measured[point] else { continue }
      // A layer that is left alone could not follow its producer, and a producer that is left alone its consumers.
      if case .rows(let role, _) = fold.producer, !isCompressed(role, layer) { continue }
      guard fold.consumers.allSatisfy({ isCompressed($0, layer) }) else { continue }
      let problems = try sites[layer].filter { fold.consumers.contains($0.role) }.compactMap {
        try problem($0, weights, statistics)?.problem
      }
      guard let factors = try balance(problems, statistics, recipe.options, backend) else { continue }
      weights.apply(fold, factors)
      measured[point] = statistics.dividing(by: factors)
    }
    weights.roundVectors(to: storageType(of: layer))
  }

  private func isCompressed(_ role: LinearSite.Role, _ layer: Int) -> Bool {
    sites[layer].contains { $0.role == role && recipe.scheme(of: $0.module) != nil }
  }

  // MARK: Solving

  /// What a layer's 16-bit values are stored as: the type of its weights in the checkpoint.
  func storageType(of layer: Int) -> DataType {
    guard let site = sites[layer].first, let entry = checkpoint.tensors[site.module + ".weight"] else {
      return .float32
    }
    return entry.dataType
  }

  private func problem(
    _ site: LinearSite, _ weights: LayerWeights, _ statistics: ActivationStatistics?
  ) throws -> (problem: LinearProblem, notes: [String])? {
    guard let wanted = recipe.scheme(of: site.module), let weight = weights.linears[site.role] else {
      return nil
    }
    let (scheme, note) = wanted.fitted(to: weight.columns)
    return (
      LinearProblem(
        site: site, scheme: scheme, weight: weight, statistics: statistics,
        scaleType: format.scaleType(storageType(of: site.layer))),
      note.map { [$0] } ?? []
    )
  }

  private func compress(
    _ site: LinearSite, _ weights: LayerWeights, _ statistics: ActivationStatistics?
  ) throws -> CompressedSite {
    guard let (problem, notes) = try problem(site, weights, statistics) else {
      return CompressedSite(
        site: site, result: nil, scheme: nil, errors: SiteErrors(weight: 0, output: nil), notes: [])
    }
    if let budget = recipe.options.errorBudget { return try prune(problem, notes, budget: budget) }
    let result = try method.solve(problem, recipe.options, backend)
    return CompressedSite(
      site: site, result: result, scheme: problem.scheme,
      errors: try Self.errors(problem, result.values, backend), notes: notes + result.notes)
  }

  /// The sparsest result whose outputs are wrong by no more than `budget`, found by bisection: the error grows with the
  /// part that is pruned. A layer that keeps to it nowhere is left alone.
  private func prune(
    _ problem: LinearProblem, _ notes: [String], budget: Double
  ) throws -> CompressedSite {
    guard problem.statistics?.gram != nil else {
      throw MethodError.needsCalibration(method: "an error budget")
    }
    let candidates = Self.sparsities(upTo: problem.scheme.sparsity)
    var (first, end) = (0, candidates.count)
    var best: CompressedSite?
    while first < end {
      let middle = (first + end) / 2
      var scheme = problem.scheme
      scheme.sparsity = candidates[middle]
      let tried = LinearProblem(
        site: problem.site, scheme: scheme, weight: problem.weight, statistics: problem.statistics,
        scaleType: problem.scaleType)
      let result = try method.solve(tried, recipe.options, backend)
      let errors = try Self.errors(tried, result.values, backend)
      guard let output = errors.output, output <= budget else {
        end = middle
        continue
      }
      best = CompressedSite(
        site: problem.site, result: result, scheme: scheme, errors: errors,
        notes: notes + result.notes + ["sparsity \(candidates[middle].text) by the error budget"])
      first = middle + 1
    }
    return best
      ?? CompressedSite(
        site: problem.site, result: nil, scheme: nil, errors: SiteErrors(weight: 0, output: nil),
        notes: notes + ["left alone: \(candidates[0].text) is over the error budget already"])
  }

  /// Steps of a twentieth; of a pattern only itself.
  static func sparsities(upTo most: Sparsity?) -> [Sparsity] {
    if case .pattern = most { return [most].compactMap(\.self) }
    let steps = Int(((most?.fraction ?? 0.95) * 20).rounded())
    return (1...Swift.max(steps, 1)).map { .unstructured(Double($0) / 20) }
  }

  package static func errors(
    _ problem: LinearProblem, _ values: Matrix, _ backend: CPUBackend
  ) throws -> SiteErrors {
    let difference = values.copy()
    difference.subtract(problem.weight)
    func energy(_ matrix: Matrix) -> Double {
      let elements = unsafe matrix.elements
      var sum = 0.0
      for index in elements.indices { unsafe sum += Double(elements[index]) * Double(elements[index]) }
      return sum
    }
    var errors = SiteErrors(
      weight: energy(difference) / Swift.max(energy(problem.weight), .leastNormalMagnitude), output: nil)
    guard let statistics = problem.statistics else { return errors }
    let sorted = statistics.absoluteMaximum.sorted()
    if let greatest = sorted.last {
      let median = sorted[sorted.count / 2]
      errors.absoluteMaximum = Double(greatest)
      errors.outlierRatio = Double(greatest) / Swift.max(Double(median), 1e-12)
    }
    if let gram = statistics.gram?.copy() {
      gram.mirrorUpper()
      let lost = try backend.quadraticForms(difference, gram).reduce(0, +)
      let whole = try backend.quadraticForms(problem.weight, gram).reduce(0, +)
      errors.output = Swift.max(lost, 0) / Swift.max(whole, .leastNormalMagnitude)
    }
    return errors
  }
}
