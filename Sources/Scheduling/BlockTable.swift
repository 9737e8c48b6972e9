/// One sequence's leases, in the order of its tokens: block `i` holds positions `16 i ..< 16 (i + 1)`.
///
/// Its buffer is reserved once for the sequence's full length and handed on to another sequence later, so
/// that it never allocates while a sequence runs. Only the scheduler holds tables; it must return every
/// lease to the pool before it lets go of one, and `recycle()` traps otherwise.
struct BlockTable {
  private(set) var blocks: [Int32] = []

  var count: Int { blocks.count }
  var isEmpty: Bool { blocks.isEmpty }

  subscript(index: Int) -> Int32 { blocks[index] }

  mutating func reserve(_ count: Int) { blocks.reserveCapacity(count) }

  mutating func append(_ leased: Int32) { blocks.append(leased) }

  /// Ends all leases, the last block's first: a prefix then outlives its continuations in the cache.
  mutating func releaseAll(to pool: inout KVBlockPool) {
    while let block = blocks.popLast() { pool.release(block) }
  }

  /// Ends the leases behind the first `count` blocks; returns whether there were any.
  mutating func truncate(to count: Int, releasingTo pool: inout KVBlockPool) -> Bool {
    let isLonger = blocks.count > count
    while blocks.count > count { pool.release(blocks.removeLast()) }
    return isLonger
  }

  /// Where the key and value of the token at `position` lie in the pool.
  func slot(of position: Int) -> Int32 {
    let block = blocks[position / KVBlockPool.blockSize]
    return block * Int32(KVBlockPool.blockSize) + Int32(position % KVBlockPool.blockSize)
  }

  /// Checks that no lease is lost with this table.
  func recycle() {
    precondition(blocks.isEmpty, "a block table ended with \(blocks.count) leases")
  }
}
