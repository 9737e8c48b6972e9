package import CPUBackend

/// How one linear layer is stored.
package struct LayerScheme: Sendable, Equatable {
  /// Bits of a code; nil leaves weights in floating point (pruning only).
  package var bits: Int? = 4
  /// Inputs that share a scale; nil for one scale an output.
  package var groupSize: Int? = 128
  package var convention = GridConvention.symmetric
  package var activations = Activations.none
  package var sparsity: Sparsity?

  package init(
    bits: Int? = 4, groupSize: Int? = 128, convention: GridConvention = .symmetric,
    activations: Activations = .none
  ) {
    self.bits = bits
    self.groupSize = groupSize
    self.convention = convention
    self.activations = activations
  }

  /// Of a layer with so many inputs: a group that does not divide them becomes the next smaller usual one that does, and
  /// a whole row stays whole. The note says so.
  func fitted(to inputs: Int) -> (scheme: LayerScheme, note: String?) {
    guard let wanted = groupSize, wanted >= inputs || inputs % wanted != 0 else { return (self, nil) }
    var scheme = self
    if wanted >= inputs {
      scheme.groupSize = nil
      return (scheme, nil)
    }
    scheme.groupSize = [128, 64, 32, 16].first { $0 < wanted && inputs % $0 == 0 }
    let found = scheme.groupSize.map { "groups of \($0)" } ?? "one scale an output"
    return (scheme, "groups of \(wanted) do not divide \(inputs) inputs; \(found) instead")
  }

  package enum Activations: String, Sendable, Equatable, CaseIterable {
    case none
    /// int8, each token by its own largest size.
    case token
    /// int8, all tokens by the largest size of the calibration data (SmoothQuant O3): fast, and lost to one outlier.
    case tensor
  }
}

/// Which part of the weights becomes zero.
package enum Sparsity: Sendable, Equatable {
  case unstructured(Double)
  /// Of each `of` neighbouring inputs `keep` stay.
  case pattern(keep: Int, of: Int)

  /// "0.5", or "2:4" as NVIDIA writes it: 2 of 4 are zero.
  package init?(_ text: String) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    if parts.count == 2 {
      guard let zeros = Int(parts[0]), let of = Int(parts[1]), (2...16).contains(of), (1..<of).contains(zeros)
      else { return nil }
      self = .pattern(keep: of - zeros, of: of)
    } else {
      guard let fraction = Double(text), fraction >= 0, fraction < 1 else { return nil }
      self = .unstructured(fraction)
    }
  }

  package var text: String {
    switch self {
    case .unstructured(let fraction): "\(fraction)"
    case .pattern(let keep, let of): "\(of - keep):\(of)"
    }
  }

  package var fraction: Double {
    switch self {
    case .unstructured(let fraction): fraction
    case .pattern(let keep, let of): Double(of - keep) / Double(of)
    }
  }
}

/// What to do with a model: a method, its settings, and exceptions by name.
package struct Recipe: Sendable, Equatable {
  package var method: String
  package var scheme = LayerScheme()
  package var options = Options()
  /// The last one whose pattern matches a module's name holds.
  package var overrides: [Override] = []
  /// Bytes for all compressed weights; bits are then chosen layer by layer among `candidateBits`.
  package var budgetBytes: Int?
  package var candidateBits = [2, 3, 4, 8]

  package init(method: String) { self.method = method }

  /// Settings of single methods; the others ignore them.
  package struct Options: Sendable, Equatable {
    package var actOrder = ActOrder.none
    /// Fit all groups to the original weights, before the sweep.
    package var staticGroups = false
    package var blockSize = 128
    /// Added to the Gram matrix's diagonal, as a part of its mean.
    package var damping = 0.01
    /// SmoothQuant's α; nil searches it.
    package var smoothing: Double? = 0.5
    /// AWQ: points of the scale search beside the identity, and whether weights are clipped.
    package var searchSteps = 20
    package var clips = true
    /// Rank of the low-rank correction (LoRC); 0 for none.
    package var rank = 0
    /// OWQ: part of the input columns kept in 16 bits.
    package var outlierColumns = 0.01
    /// SpQR's τ, and LLM.int8's activation threshold.
    package var outlierThreshold: Double?
    /// Layers of one set see the sets before them already compressed.
    package var trueSequential = true
    /// Structured pruning: parts of the heads and of the feed-forward channels to take out.
    package var prunedHeads = 0.0
    package var prunedChannels = 0.0
    package var prunedLayers = 0.0
    package var prunedHidden = 0.0
    /// Pruning: as much of each linear layer as keeps the relative squared error of its outputs below this, up to
    /// `sparsity`; nil prunes `sparsity` everywhere.
    package var errorBudget: Double?

    package init() {}
  }

  package enum ActOrder: String, Sendable, Equatable, CaseIterable {
    case none
    /// Columns are swept by falling diagonal of the Gram matrix, groups stay where they are.
    case weight = "static"
    /// Groups follow the order too; the file needs a group index.
    case group
    /// Whole groups by their largest diagonal, columns inside by theirs: no group index (GAR).
    case groupAware = "gar"
  }

  /// Exceptions for modules whose name matches a pattern with `*`.
  package struct Override: Sendable, Equatable {
    package var pattern: String
    package var skip = false
    package var bits: Int?
    /// 0 for one scale an output.
    package var groupSize: Int?
    package var sparsity: Sparsity?

    package init(pattern: String) { self.pattern = pattern }
  }

  /// The scheme of a module, or nil to leave it alone.
  package func scheme(of module: String) -> LayerScheme? {
    var result = scheme
    for override in overrides where Self.matches(module, override.pattern) {
      if override.skip { return nil }
      if let bits = override.bits { result.bits = bits }
      if let size = override.groupSize { result.groupSize = size == 0 ? nil : size }
      if let sparsity = override.sparsity { result.sparsity = sparsity }
    }
    return result
  }

  /// `*` stands for any run of characters; a pattern also matches the end of a name behind a dot.
  static func matches(_ name: String, _ pattern: String) -> Bool {
    if glob(Array(name.utf8)[...], Array(pattern.utf8)[...]) { return true }
    return glob(Array(name.utf8)[...], Array(("*." + pattern).utf8)[...])
  }

  private static func glob(_ name: ArraySlice<UInt8>, _ pattern: ArraySlice<UInt8>) -> Bool {
    // Positions of the last star, to come back to when what follows it does not match.
    var (place, at) = (name.startIndex, pattern.startIndex)
    var star: (place: Int, at: Int)?
    while place < name.endIndex {
      if at < pattern.endIndex, pattern[at] == UInt8(ascii: "*") {
        star = (place, at)
        at += 1
      } else if at < pattern.endIndex, pattern[at] == name[place] {
        (place, at) = (place + 1, at + 1)
      } else if let back = star {
        star = (back.place + 1, back.at)
        (place, at) = (back.place + 1, back.at + 1)
      } else {
        return false
      }
    }
    while at < pattern.endIndex, pattern[at] == UInt8(ascii: "*") { at += 1 }
    return at == pattern.endIndex
  }
}
