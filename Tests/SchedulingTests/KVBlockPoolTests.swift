import TestSupport
import Testing

@testable import Scheduling

@Suite struct KVBlockPoolTests {
  static func digest(_ value: UInt64) -> BlockDigest { BlockDigest(low: value, high: ~value) }
  static let tokens = [Int32](0..<64)

  @Test("Every block is handed out once, then none")
  func exhaustion() throws {
    var pool = KVBlockPool(blockCount: 5)
    var taken: [Int32] = []
    while let block = pool.take() { taken.append(block) }
    #expect(taken.sorted() == [0, 1, 2, 3, 4])
    let counts = [pool.usedCount, pool.cachedCount, pool.freeCount, pool.availableCount]
    #expect(counts == [5, 0, 0, 0])
    try pool.checkInvariants(leases: [1, 1, 1, 1, 1])
  }

  @Test("A block without content is reused before any cached one, a cached one in order of release")
  func evictionOrder() throws {
    var pool = KVBlockPool(blockCount: 4)
    let blocks = (0..<4).compactMap { _ in pool.take() }
    for block in blocks.prefix(3) {
      pool.publish(block, Self.digest(UInt64(block)), tokens: Self.tokens, start: 0)
    }
    for block in [blocks[2], blocks[0], blocks[3], blocks[1]] { pool.release(block) }
    try pool.checkInvariants(leases: [0, 0, 0, 0])
    let counts = [pool.cachedCount, pool.freeCount]
    #expect(counts == [3, 1])
    let order = (0..<4).compactMap { _ in pool.take() }
    #expect(order == [blocks[3], blocks[2], blocks[0], blocks[1]])
  }

  @Test("A hit makes a block the most recently used one")
  func touch() {
    var pool = KVBlockPool(blockCount: 3)
    let blocks = (0..<3).compactMap { _ in pool.take() }
    for block in blocks { pool.publish(block, Self.digest(UInt64(block)), tokens: Self.tokens, start: 0) }
    for block in blocks { pool.release(block) }
    let hit = pool.lookup(Self.digest(UInt64(blocks[0])), tokens: Self.tokens, start: 0)
    #expect(hit == blocks[0])
    pool.share(blocks[0])
    let references = pool.references(to: blocks[0])
    #expect(references == 1)
    pool.release(blocks[0])
    let order = (0..<3).compactMap { _ in pool.take() }
    #expect(order == [blocks[1], blocks[2], blocks[0]])
  }

  @Test("A cached block is found until it is reused, and not after")
  func lookup() {
    var pool = KVBlockPool(blockCount: 1)
    guard let block = pool.take() else { return }
    pool.publish(block, Self.digest(7), tokens: Self.tokens, start: 16)
    pool.release(block)
    let found = pool.lookup(Self.digest(7), tokens: Self.tokens, start: 16)
    #expect(found == block)
    let other = pool.lookup(Self.digest(8), tokens: Self.tokens, start: 16)
    #expect(other == nil)
    _ = pool.take()
    let gone = pool.lookup(Self.digest(7), tokens: Self.tokens, start: 16)
    #expect(gone == nil)
  }

  @Test("A digest of other tokens is not a hit, even if it were equal")
  func collision() {
    var pool = KVBlockPool(blockCount: 2)
    guard let block = pool.take() else { return }
    pool.publish(block, Self.digest(7), tokens: Self.tokens, start: 16)
    let found = pool.lookup(Self.digest(7), tokens: Self.tokens, start: 17)
    #expect(found == nil)
  }

  @Test("Of two blocks of equal content the leased one keeps the name, a cached one hands it over")
  func equalContent() throws {
    var pool = KVBlockPool(blockCount: 3)
    let blocks = (0..<3).compactMap { _ in pool.take() }
    pool.publish(blocks[0], Self.digest(7), tokens: Self.tokens, start: 0)
    pool.publish(blocks[1], Self.digest(7), tokens: Self.tokens, start: 0)
    let second = [pool.isPublished(blocks[0]), pool.isPublished(blocks[1])]
    #expect(second == [true, false])
    pool.release(blocks[0])
    pool.publish(blocks[2], Self.digest(7), tokens: Self.tokens, start: 0)
    let third = [pool.isPublished(blocks[0]), pool.isPublished(blocks[2])]
    #expect(third == [false, true])
    let counts = [pool.cachedCount, pool.freeCount]
    #expect(counts == [0, 1])
    try pool.checkInvariants(leases: [0, 1, 1])
  }

  @Test("A withdrawn block is not found again and is the next to be reused")
  func withdraw() throws {
    var pool = KVBlockPool(blockCount: 3)
    let blocks = (0..<3).compactMap { _ in pool.take() }
    for block in blocks { pool.publish(block, Self.digest(UInt64(block)), tokens: Self.tokens, start: 0) }
    for block in blocks.dropLast() { pool.release(block) }
    pool.withdraw(blocks[1])
    pool.withdraw(blocks[2])
    try pool.checkInvariants(leases: [0, 0, 1])
    let lost = pool.lookup(Self.digest(UInt64(blocks[1])), tokens: Self.tokens, start: 0)
    #expect(lost == nil)
    let next = pool.take()
    #expect(next == blocks[1])
  }

  @Test("Misuse traps: ending a lease nobody holds, sharing nothing, publishing twice")
  func traps() async {
    await #expect(processExitsWith: .failure) {
      var pool = KVBlockPool(blockCount: 1)
      pool.release(0)
    }
    await #expect(processExitsWith: .failure) {
      var pool = KVBlockPool(blockCount: 1)
      pool.share(0)
    }
    await #expect(processExitsWith: .failure) {
      var pool = KVBlockPool(blockCount: 1)
      let tokens = [Int32](repeating: 1, count: 16)
      if let block = pool.take() {
        pool.publish(block, BlockDigest(low: 1, high: 1), tokens: tokens, start: 0)
        pool.publish(block, BlockDigest(low: 2, high: 2), tokens: tokens, start: 0)
      }
    }
    await #expect(processExitsWith: .failure) { _ = KVBlockPool(blockCount: 0) }
  }

  @Test("The invariants name what is broken, with its numbers")
  func brokenInvariants() {
    var pool = KVBlockPool(blockCount: 4)
    _ = pool.take()
    #expect(throws: KVInvariantError.references(block: 0, references: 1, leases: 2)) {
      try pool.checkInvariants(leases: [2, 0, 0, 0])
    }
    pool.freeCount = 2
    #expect(throws: KVInvariantError.counts(used: 1, cached: 0, free: 3, total: 4)) {
      try pool.checkInvariants(leases: [1, 0, 0, 0])
    }
    pool.freeCount = 3
    pool.nodes[2].isPublished = true
    #expect(throws: KVInvariantError.queue(block: 3, reason: "is free and stands behind cached blocks")) {
      try pool.checkInvariants(leases: [1, 0, 0, 0])
    }
    pool.nodes[2].isPublished = false
    pool.nodes[0].references = 0
    #expect(throws: KVInvariantError.counts(used: 0, cached: 0, free: 3, total: 4)) {
      try pool.checkInvariants(leases: [0, 0, 0, 0])
    }
    let text = KVInvariantError.counts(used: 1, cached: 2, free: 3, total: 7).description
    #expect(text == "KV pool: 1 used + 2 cached + 3 free blocks are not the total of 7")
  }

  @Test("Random operations agree with a plain model of lists", arguments: UInt64(1)...6)
  func randomOperations(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let count = 1 + random.below(20)
    var pool = KVBlockPool(blockCount: count)
    var leases = [Int32](repeating: 0, count: count)
    var names = [UInt64?](repeating: nil, count: count)
    // Oldest first; free blocks are taken from the end of `free`.
    var free = [Int32](0..<Int32(count)).reversed() as [Int32]
    var cached: [Int32] = []
    for _ in 0..<3000 {
      let block = Int32(random.below(count))
      let name = UInt64(random.below(12))
      switch random.below(4) {
      case 0:
        let expected = free.popLast() ?? (cached.isEmpty ? nil : cached.removeFirst())
        let taken = pool.take()
        #expect(taken == expected)
        guard let taken else { continue }
        names[Int(taken)] = nil
        leases[Int(taken)] = 1
      case 1 where leases[Int(block)] > 0:
        pool.release(block)
        leases[Int(block)] -= 1
        if leases[Int(block)] > 0 { continue }
        if names[Int(block)] == nil { free.append(block) } else { cached.append(block) }
      case 2 where leases[Int(block)] > 0 && names[Int(block)] == nil:
        pool.publish(block, Self.digest(name), tokens: Self.tokens, start: Int(name))
        if let holder = names.firstIndex(of: name) {
          if leases[holder] > 0 { continue }
          names[holder] = nil
          cached.removeAll { $0 == holder }
          free.append(Int32(holder))
        }
        names[Int(block)] = name
      default:
        let found = pool.lookup(Self.digest(name), tokens: Self.tokens, start: Int(name))
        #expect(found == names.firstIndex(of: name).map { Int32($0) })
        guard let found else { continue }
        pool.share(found)
        cached.removeAll { $0 == found }
        leases[Int(found)] += 1
      }
      try pool.checkInvariants(leases: leases)
      let counts = [pool.cachedCount, pool.freeCount]
      #expect(counts == [cached.count, free.count])
    }
  }
}
