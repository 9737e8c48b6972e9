package import Compute
package import Numerics
package import Scheduling

/// How much one step may hold; the workspace is reserved for exactly this.
package struct ModelLimits: Sendable, Equatable {
  /// Tokens of all sequences in one step.
  package var maxBatchTokens: Int
  package var maxSequences: Int
  /// Tokens of one sequence, prompt and output.
  package var maxModelLength: Int
  /// Rows of logits computed at once; `ModelGraph.logits(of:)` reads more rows in pieces of this size.
  package var maxLogitRows: Int
  /// The type of cached keys and values; nil for the backend's activation type.
  package var cacheType: DataType?
  /// Attention sinks and a window instead of all keys (`--kv-policy`); nil leaves the model as it was trained.
  package var policy: KVRetention?
  /// What plain linear layers are rounded to while they are loaded, all but the output projection (`--quantization`).
  package var quantization: LoadQuantization?
  /// The largest rank of a LoRA adapter; 0 takes none.
  package var maxAdapterRank = 0
  /// Blocks that a layer's window has left may go, whatever other layers see (`CacheGroups`); otherwise one table serves
  /// all layers, and keeps everything.
  package var groupsLayers = true
  /// Tokens are sampled where the logits lie, if the backend can.
  package var samples = true

  package init(
    maxBatchTokens: Int, maxSequences: Int, maxModelLength: Int, maxLogitRows: Int, cacheType: DataType? = nil
  ) {
    self.maxBatchTokens = maxBatchTokens
    self.maxSequences = maxSequences
    self.maxModelLength = maxModelLength
    self.maxLogitRows = maxLogitRows
    self.cacheType = cacheType
  }

  /// Columns of what an adapter's first matrices give of one input, for the largest rank: three projections read the attention's.
  var adapterColumns: Int { 3 * ((maxAdapterRank + lowRankUnit - 1) / lowRankUnit * lowRankUnit) }

  /// Tokens in a block of the key/value cache.
  package static let blockSize = 16

  var maxBlocksPerSequence: Int { (maxModelLength - 1) / Self.blockSize + 1 }

  package func samplingCapacity(_ configuration: ModelConfiguration) -> SamplingCapacity {
    SamplingCapacity(
      vocabularySize: configuration.vocabularySize, rows: Swift.min(maxLogitRows, maxBatchTokens),
      sequences: maxSequences, modelLength: maxModelLength)
  }

  /// Whether memory for sampling is planned: on backends with 16-bit activations, which are devices, and for vocabularies
  /// that their kernels take.
  func samples(_ configuration: ModelConfiguration, _ activationType: DataType) -> Bool {
    samples && activationType != .float32 && configuration.vocabularySize < SamplingCapacity.vocabularyLimit
  }

  /// Every row of a decode is a row of logits, but for those that fill a recorded step.
  func attentionDemand(_ configuration: ModelConfiguration) -> AttentionDemand {
    AttentionDemand(
      maxRows: Swift.min(maxBatchTokens, Swift.max(maxSequences, maxLogitRows)),
      queryHeads: configuration.queryHeads, headDimension: configuration.headDimension,
      maxContextLength: maxModelLength)
  }

  func validate(_ configuration: ModelConfiguration) throws(ModelError) {
    // First: a policy chooses lengths that a model it does not suit would be blamed for.
    if policy != nil {
      if case .learned = configuration.decoder.positions {
        throw .policy(reason: "it has a table of learned positions, which cannot be counted anew")
      }
      if configuration.layers.contains(where: { $0.window != nil }) {
        throw .policy(reason: "it has sliding windows of its own")
      }
    }
    try Self.check("the step's token limit", maxBatchTokens, 1...(1 << 24))
    try Self.check("the sequence limit", maxSequences, 1...(1 << 20))
    try Self.check("the limit of logit rows", maxLogitRows, 1...(1 << 24))
    let positions = configuration.hardPositionLimit ?? ConfigurationRange.positions.upperBound
    try Self.check("the maximum model length", maxModelLength, 1...positions)
    try Self.check("the maximum adapter rank", maxAdapterRank, 0...4096)
  }

  private static func check(_ name: String, _ value: Int, _ range: ClosedRange<Int>) throws(ModelError) {
    guard range.contains(value) else {
      throw .limit(name: name, found: value, allowed: "from \(range.lowerBound) to \(range.upperBound)")
    }
  }
}
