/// One sequence's leases in one group of layers, in the order of its tokens: block `i` holds positions `16 i ..< 16 (i + 1)`.
///
/// Its buffer is reserved once for the sequence's full length and handed on to another sequence later, so
/// that it never allocates while a sequence runs. Only the scheduler holds tables; it must return every
/// lease to the pool before it lets go of one, and `recycle()` traps otherwise.
///
/// Where a block is not needed any more (`KVRetention`), −1 holds its place.
struct BlockTable {
  private(set) var blocks: [Int32] = []
  /// Places without a block.
  private(set) var gapCount = 0
  /// Places before this one were released already.
  private var released = 0

  var count: Int { blocks.count }
  var leasedCount: Int { blocks.count - gapCount }
  var isEmpty: Bool { blocks.isEmpty }

  subscript(index: Int) -> Int32 { blocks[index] }

  mutating func reserve(_ count: Int) { blocks.reserveCapacity(count) }

  /// - Parameter leased: −1 for a place whose block is not needed.
  mutating func append(_ leased: Int32) {
    if leased < 0 { gapCount += 1 }
    blocks.append(leased)
  }

  /// Ends the leases of these places, which only grow from call to call.
  mutating func release(_ places: Range<Int>, to pool: inout KVBlockPool) {
    for place in max(
      places.lowerBound, released)..<max(places.lowerBound, released, min(places.upperBound, count))
    where blocks[place] >= 0 {
      pool.release(blocks[place])
      blocks[place] = -1
      gapCount += 1
    }
    released = max(released, min(places.upperBound, count))
  }

  /// Ends the lease of the last place.
  mutating func removeLast(releasingTo pool: inout KVBlockPool) {
    let block = blocks.removeLast()
    if block >= 0 { pool.release(block) } else { gapCount -= 1 }
    released = min(released, blocks.count)
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
