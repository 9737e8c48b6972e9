/// Which keys a query sees, and so which blocks of a long sequence are still needed.
///
/// ```
/// position   0 … sinks │ … never looked at again … │ p − window + 1 …… p
/// blocks     └─ kept ──┘└──── back in the pool ────┘└────── kept ──────┘
/// ```
/// Sliding windows have no sinks. A block goes once all of it lies in the gap, and its place in the block table stays.
package struct KVRetention: Sendable, Equatable {
  /// Tokens at the start that every query sees (attention sinks, Xiao et al., arXiv 2309.17453).
  package var sinks: Int
  /// The last tokens that a query sees, itself included.
  package var window: Int

  package init(sinks: Int = 0, window: Int) {
    self.sinks = sinks
    self.window = window
  }

  /// Blocks that the sinks reach into.
  var sinkBlocks: Int { Scheduler.blocks(for: sinks) }

  /// Indices of the blocks that a query at `position`, and every later one, can do without.
  func gap(at position: Int) -> Range<Int> {
    let first = max(0, position - window + 1) / KVBlockPool.blockSize
    return sinkBlocks..<max(sinkBlocks, first)
  }

  func sees(_ key: Int, from position: Int) -> Bool { key < sinks || key > position - window }

  /// Most blocks a sequence of `count` tokens holds at one time when a step computes up to `piece` of them.
  package func blocksAtOnce(for count: Int, piece: Int) -> Int {
    let span = window - 1 + min(piece, count)
    let (rounded, overflow) = span.addingReportingOverflow(KVBlockPool.blockSize - 2)
    let touched = overflow ? Int.max / 2 : rounded / KVBlockPool.blockSize + 1
    return min(Scheduler.blocks(for: count), sinkBlocks + touched)
  }
}

extension Scheduler {
  /// Most blocks a sequence of `count` tokens holds at one time.
  func blocksAtOnce(for count: Int) -> Int {
    guard let retention = configuration.retention else { return Self.blocks(for: count) }
    return retention.blocksAtOnce(for: count, piece: configuration.maxNumBatchedTokens)
  }

  /// Gives back the blocks that no later query of a sequence looks at.
  mutating func releaseUnseen(_ slot: Int) {
    guard let retention = configuration.retention else { return }
    let gap = retention.gap(at: sequences[slot].computed)
    sequences[slot].table.release(gap, to: &pool)
  }

  /// The longest cached prefix of which a query behind it sees only cached blocks: for windows the middle need not
  /// be there any more. `matched` holds the contiguous start.
  ///
  /// - Parameter limit: blocks that may be matched at most.
  mutating func matchBehindGap(_ slot: Int, limit: Int, _ retention: KVRetention) {
    let contiguous = matched.count
    if contiguous >= retention.sinkBlocks {
      // From the end: `run` blocks from `index` on are cached.
      var run = 0
      var end = limit
      var index = limit - 1
      while index >= contiguous {
        extendDigests(of: slot, through: index)
        let isCached =
          pool.lookup(
            sequences[slot].digests[index], tokens: sequences[slot].tokens,
            start: index * KVBlockPool.blockSize) != nil
        run = isCached ? run + 1 : 0
        if !isCached { end = index }
        index -= 1
        // All that is seen from behind `end` is there, or goes on where the start left off.
        let needed = retention.gap(at: end * KVBlockPool.blockSize).upperBound
        if run > 0, index < max(needed, contiguous) { break }
      }
      if run > 0, end > contiguous { matched.append(contentsOf: repeatElement(-1, count: end - contiguous)) }
    }
    // Only what is seen is shared.
    let gap = retention.gap(at: matched.count * KVBlockPool.blockSize)
    for index in matched.indices {
      if gap.contains(index) {
        matched[index] = -1
      } else if index >= contiguous {
        matched[index] =
          pool.lookup(
            sequences[slot].digests[index], tokens: sequences[slot].tokens,
            start: index * KVBlockPool.blockSize) ?? -1
      }
    }
  }
}
