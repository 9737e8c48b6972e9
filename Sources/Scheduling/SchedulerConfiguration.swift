/// Who goes first when not everybody can.
package enum SchedulingPolicy: Sendable, Equatable {
  /// By arrival.
  case firstComeFirstServed
  /// By `SchedulerRequest.priority` (lower first), then by arrival.
  case priority
}

/// Limits of a scheduler; checked by `validate()`, which `Scheduler.init` calls.
package struct SchedulerConfiguration: Sendable, Equatable {
  /// Blocks of `KVBlockPool.blockSize` tokens in the pool.
  package var blockCount: Int
  /// Prompt and output together, in tokens.
  package var maxModelLength: Int
  /// Tokens computed in one step, at least `maxNumSeqs`, so that every running sequence can decode.
  package var maxNumBatchedTokens = 2048
  /// Sequences that hold KV memory at one time.
  package var maxNumSeqs = 256
  /// The longest piece of one prompt in one step; 0 sets no limit.
  package var longPrefillTokenThreshold = 0
  /// Rows of logits in one step, at least `maxNumSeqs`; bounds the pieces of prompts whose logits are wanted.
  package var maxLogitRows = 256
  package var policy = SchedulingPolicy.firstComeFirstServed
  /// Blocks an admission must leave unleased while others run, so that those do not have to preempt at once.
  package var watermarkBlocks: Int
  package var enablePrefixCaching = true
  /// What the queries of the model's layers see. `blockCount` counts the blocks of all groups together.
  package var groups = KVGroups.whole
  /// Key of the prefix cache's block hash. Random by default: nobody outside can construct colliding prompts.
  package var hashKey: BlockHashKey

  /// - Parameters:
  ///   - blockCount: blocks in the pool; the watermark becomes 1 % of it.
  ///   - maxModelLength: prompt and output together, in tokens.
  package init(blockCount: Int, maxModelLength: Int, hashKey: BlockHashKey = .random()) {
    self.blockCount = blockCount
    self.maxModelLength = maxModelLength
    self.hashKey = hashKey
    watermarkBlocks = blockCount / 100
  }

  package func validate() throws(SchedulerError) {
    let largest = Int(Int32.max)
    try require(
      blockCount >= 1 && blockCount <= largest / KVBlockPool.blockSize, "blockCount", blockCount,
      "1 ... \(largest / KVBlockPool.blockSize)")
    try require(
      maxModelLength >= 1 && maxModelLength <= largest, "maxModelLength", maxModelLength, "1 ... \(largest)")
    try require(maxNumSeqs >= 1 && maxNumSeqs <= 1 << 20, "maxNumSeqs", maxNumSeqs, "1 ... \(1 << 20)")
    try require(
      maxNumBatchedTokens >= maxNumSeqs && maxNumBatchedTokens <= largest, "maxNumBatchedTokens",
      maxNumBatchedTokens, "at least maxNumSeqs (\(maxNumSeqs))")
    try require(
      maxLogitRows >= maxNumSeqs && maxLogitRows <= largest, "maxLogitRows", maxLogitRows,
      "at least maxNumSeqs (\(maxNumSeqs))")
    try require(
      longPrefillTokenThreshold >= 0, "longPrefillTokenThreshold", longPrefillTokenThreshold, "0 or more")
    for case .some(let retention) in groups.retentions {
      try require(retention.window >= 1, "retention.window", retention.window, "1 or more")
      try require(
        retention.sinks >= 0 && retention.sinks <= largest / 2, "retention.sinks", retention.sinks,
        "0 or more")
    }
    try require(
      watermarkBlocks >= 0 && watermarkBlocks < blockCount, "watermarkBlocks", watermarkBlocks,
      "0 ..< blockCount (\(blockCount))")
  }

  private func require(
    _ holds: Bool, _ field: String, _ value: Int, _ requirement: String
  ) throws(SchedulerError) {
    if !holds { throw .invalidConfiguration(field: field, value: value, requirement: requirement) }
  }
}
