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
  /// Most blocks a sequence of `count` tokens holds at one time, of all groups.
  func blocksAtOnce(for count: Int) -> Int {
    configuration.groups.blocksAtOnce(for: count, piece: configuration.maxNumBatchedTokens)
  }

  /// Gives back the blocks that no later query of a sequence looks at.
  mutating func releaseUnseen(_ slot: Int) {
    for group in sequences[slot].tables.indices {
      let gap = configuration.groups.gap(group, at: sequences[slot].computed)
      if !gap.isEmpty { sequences[slot].tables[group].release(gap, to: &pool) }
    }
  }
}
