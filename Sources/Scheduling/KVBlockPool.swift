/// A fixed number of KV blocks: who holds them, and what the unheld ones still contain.
///
/// ```
/// used     leased by one or more block tables        references ≥ 1, in no queue
/// cached   leased by nobody, content has a digest    references = 0, in the queue: oldest … newest
/// free     leased by nobody, content is nobody's     references = 0, in the queue, in front of all cached
/// ones
///
/// queue:  sentinel ⇄ free ⇄ free ⇄ cached (least recently used) ⇄ … ⇄ cached (most recently used) ⇄ sentinel
///                    └ take() reuses from this end
/// ```
/// The queue is doubly linked through the blocks' own nodes, and so are the chains of the digest table, so
/// that take, share, release, publish and lookup are O(1) and never allocate. A digest names at most one
/// block.
package struct KVBlockPool: ~Copyable {
  /// Tokens in a block.
  package static let blockSize = 16

  struct Node {
    var references: Int32 = 0
    /// Neighbours in the queue; -1 while the block is leased.
    var previous: Int32 = -1
    var next: Int32 = -1
    /// Neighbours in the digest's bucket; -1 ends the chain.
    var chainPrevious: Int32 = -1
    var chainNext: Int32 = -1
    var isPublished = false
    var digest = BlockDigest.unsaltedRoot
  }

  package let blockCount: Int
  package internal(set) var freeCount: Int
  package internal(set) var cachedCount = 0
  /// Blocks that `take()` can hand out.
  package var availableCount: Int { freeCount + cachedCount }
  package var usedCount: Int { blockCount - availableCount }

  /// One node a block; the last is the queue's sentinel.
  var nodes: [Node]
  /// First block of each chain, -1 for none; a power of two of them.
  var buckets: [Int32]
  /// The tokens of each published block, to confirm a hit.
  var contents: [Int32]

  /// - Parameter blockCount: 1 … Int32.max / blockSize.
  package init(blockCount: Int) {
    precondition(blockCount >= 1 && blockCount <= Int(Int32.max) / Self.blockSize, "block count out of range")
    self.blockCount = blockCount
    freeCount = blockCount
    nodes = Array(repeating: Node(), count: blockCount + 1)
    for index in 0...blockCount {
      nodes[index].previous = Int32(index == 0 ? blockCount : index - 1)
      nodes[index].next = Int32(index == blockCount ? 0 : index + 1)
    }
    var bucketCount = 1
    while bucketCount < blockCount { bucketCount *= 2 }
    buckets = Array(repeating: -1, count: bucketCount)
    contents = Array(repeating: 0, count: blockCount * Self.blockSize)
  }

  /// Leases a block whose content nobody wants: a free one, else the least recently used cached one, which is
  /// forgotten. Nil when all are leased.
  package mutating func take() -> Int32? {
    let block = nodes[blockCount].next
    if Int(block) == blockCount { return nil }
    unlink(block)
    if nodes[Int(block)].isPublished {
      cachedCount -= 1
      removeFromTable(block)
    } else {
      freeCount -= 1
    }
    nodes[Int(block)].references = 1
    return block
  }

  /// Leases a block that is leased already or still cached.
  package mutating func share(_ block: Int32) {
    if nodes[Int(block)].references == 0 {
      precondition(nodes[Int(block)].isPublished, "sharing block \(block), which holds nothing")
      unlink(block)
      cachedCount -= 1
    }
    nodes[Int(block)].references += 1
  }

  /// Ends one lease. With the last one the block becomes cached (most recently used), or free if it has no
  /// digest. Release a table from its end, so that a prefix outlives its continuations.
  package mutating func release(_ block: Int32) {
    precondition(nodes[Int(block)].references > 0, "releasing block \(block), which nobody leases")
    nodes[Int(block)].references -= 1
    if nodes[Int(block)].references > 0 { return }
    let sentinel = Int32(blockCount)
    if nodes[Int(block)].isPublished {
      cachedCount += 1
      link(block, before: sentinel)
    } else {
      freeCount += 1
      link(block, before: nodes[blockCount].next)
    }
  }

  package func references(to block: Int32) -> Int { Int(nodes[Int(block)].references) }

  mutating func unlink(_ block: Int32) {
    let previous = nodes[Int(block)].previous
    let next = nodes[Int(block)].next
    nodes[Int(previous)].next = next
    nodes[Int(next)].previous = previous
    nodes[Int(block)].previous = -1
    nodes[Int(block)].next = -1
  }

  mutating func link(_ block: Int32, before next: Int32) {
    let previous = nodes[Int(next)].previous
    nodes[Int(block)].previous = previous
    nodes[Int(block)].next = next
    nodes[Int(previous)].next = block
    nodes[Int(next)].previous = block
  }
}
