/// How a model's layers share blocks of keys and values.
///
/// Layers whose queries see the same keys form groups of equally many layers, so that a block of any group is as large and
/// all groups share one pool. A sequence has a block table a group; position `p` has the same place in each.
///
/// ```
/// a model of 6 layers, every third one full           table     blocks of a long sequence
/// group 0    full       layers 2 5                    0         ████████████████████
/// group 1    window     layers 0 1                    1         ················████
/// group 2    window     layers 3 4                    2         ················████
/// ```
/// Most models have one group. Where all layers see everything, or all have one window, it is all of them.
package struct KVGroups: Sendable, Equatable {
  /// What the queries of each group see; nil for all keys.
  package let retentions: [KVRetention?]

  /// One group that keeps everything.
  package static let whole = KVGroups([nil])

  /// - Precondition: not empty.
  package init(_ retentions: [KVRetention?]) {
    precondition(!retentions.isEmpty, "a model without layers")
    self.retentions = retentions
  }

  package var count: Int { retentions.count }
  /// No group keeps everything: a sequence of any length lives in so many blocks.
  package var isBounded: Bool { retentions.allSatisfy { $0 != nil } }

  /// Places whose blocks a query at `position`, and every later one, can do without.
  func gap(_ group: Int, at position: Int) -> Range<Int> { retentions[group]?.gap(at: position) ?? 0..<0 }

  /// Places from the start on that every query looks at.
  func keptPlaces(_ group: Int) -> Int { retentions[group].map(\.sinkBlocks) ?? Int.max }

  /// Most blocks a sequence of `count` tokens holds at one time in one group when a step computes up to `piece` of them.
  func blocksAtOnce(_ group: Int, for count: Int, piece: Int) -> Int {
    retentions[group]?.blocksAtOnce(for: count, piece: piece) ?? Scheduler.blocks(for: count)
  }

  /// The same of all groups together.
  package func blocksAtOnce(for count: Int, piece: Int) -> Int {
    var sum = 0
    for group in 0..<self.count { sum += blocksAtOnce(group, for: count, piece: piece) }
    return sum
  }

  /// Tokens of the longest sequence, up to `limit`, that `blocks` blocks hold.
  package func longestSequence(in blocks: Int, upTo limit: Int, piece: Int) -> Int {
    var (low, high) = (0, limit)
    while low < high {
      let middle = (low + high + 1) / 2
      if blocksAtOnce(for: middle, piece: piece) <= blocks { low = middle } else { high = middle - 1 }
    }
    return low
  }
}
