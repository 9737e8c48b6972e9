import Testing

@testable import Scheduling

/// Windows and sinks: what is given back, and what the cache still finds.
@Suite struct RetentionTests {
  private func driver(
    _ retentions: KVRetention?..., blocks: Int = 64, length: Int = 4096
  ) throws -> Driver {
    try Driver(blocks: blocks) {
      $0.groups = KVGroups(retentions)
      $0.maxModelLength = length
    }
  }

  @Test("The gap is what no later query sees, in whole blocks")
  func gap() {
    for sinks in [0, 1, 4, 16, 17] {
      for window in [1, 2, 15, 16, 17, 40] {
        let retention = KVRetention(sinks: sinks, window: window)
        for position in 0..<200 {
          let gap = retention.gap(at: position)
          for block in 0...position / 16 {
            let isSeen = (block * 16..<block * 16 + 16).contains { key in
              key < sinks
                || (position...position + 17).contains { key <= $0 && retention.sees(key, from: $0) }
            }
            #expect(gap.contains(block) == !isSeen, "\(sinks)+\(window) at \(position), block \(block)")
          }
        }
      }
    }
  }

  @Test("A long sequence lives in a bounded number of blocks", arguments: [0, 4])
  func bounded(sinks: Int) throws {
    let retention = KVRetention(sinks: sinks, window: 40)
    let driver = try driver(retention, blocks: 12, length: 100_000)
    let id = try driver.add(prompt(3000), maxNewTokens: 500)
    let most = retention.blocksAtOnce(for: 3500, piece: 64)
    while driver.state(of: id) != .finished(.length) {
      try driver.step(token: 5)
      #expect(driver.statistics.usedBlocks <= most)
    }
    #expect(driver.statistics.preemptions == 0)
    // Without retention it could not even be taken.
    let whole = try Driver(blocks: 12) { $0.maxModelLength = 100_000 }
    #expect(throws: SchedulerError.exceedsMemory(neededBlocks: 219, totalBlocks: 12)) {
      try whole.add(prompt(3000), maxNewTokens: 500)
    }
  }

  @Test("A prefix is found by what is seen from behind it, though its middle is gone")
  func prefix() throws {
    // The window sees 3 blocks back at most; 11 blocks hold little more.
    let driver = try driver(KVRetention(sinks: 4, window: 33), blocks: 11)
    let first = try driver.add(prompt(320), maxNewTokens: 1)
    while driver.state(of: first) == .waiting || driver.state(of: first) == .running { try driver.step() }
    let second = try driver.add(prompt(320) + [9, 9, 9], maxNewTokens: 2)
    #expect(try driver.next() == [Work(second, 3)])
    #expect(driver.scheduler.cachedTokens(of: second) == 320)
    // The sinks' block and the two that the window reaches into, and one for the new tokens.
    #expect(driver.statistics.usedBlocks == 4)
    try driver.commit()
    // Without the sinks in the cache there is nothing to go on from.
    try driver.step()
    let other = try driver.add(prompt(176, first: 1), maxNewTokens: 1)
    while driver.state(of: other) == .waiting || driver.state(of: other) == .running { try driver.step() }
  }

  @Test("Of layers that see different keys, each group keeps what its own queries see")
  func alternating() throws {
    let window = KVRetention(window: 40)
    let driver = try driver(nil, window, window, blocks: 41)
    let id = try driver.add(prompt(300), maxNewTokens: 100)
    while driver.state(of: id) != .finished(.length) {
      try driver.step()
      // Full: 25 blocks of the 400 tokens. Windows: 40 − 1 + 64 tokens touch 8 blocks at most.
      #expect(driver.statistics.usedBlocks <= 25 + 2 * 8)
    }
    #expect(driver.statistics.preemptions == 0)
    // Three whole tables could not even be taken.
    let whole = try self.driver(nil, nil, nil, blocks: 41)
    #expect(throws: SchedulerError.exceedsMemory(neededBlocks: 75, totalBlocks: 41)) {
      try whole.add(prompt(300), maxNewTokens: 100)
    }
  }

  @Test("A prefix counts where the full layers have all of it and the windows what is seen from behind it")
  func alternatingPrefix() throws {
    let driver = try driver(nil, KVRetention(window: 33), blocks: 64)
    let first = try driver.add(prompt(320), maxNewTokens: 1)
    while driver.state(of: first) != .finished(.length) { try driver.step() }
    let second = try driver.add(prompt(320) + [9, 9, 9], maxNewTokens: 1)
    #expect(try driver.next() == [Work(second, 3)])
    #expect(driver.scheduler.cachedTokens(of: second) == 320)
    // All 20 blocks and two, and one more of each for the new tokens.
    #expect(driver.statistics.usedBlocks == 20 + 2 + 2)
    try driver.commit()
    // Another start: the windows have all they would need of the end, the full layers nothing.
    let other = try driver.add([7] + prompt(320).dropFirst() + [9], maxNewTokens: 1)
    _ = try driver.next()
    #expect(driver.scheduler.cachedTokens(of: other) == 0)
    try driver.commit()
  }

  @Test("Where a window's blocks were taken, the prefix ends before them")
  func evictedWindow() throws {
    let window = KVRetention(window: 33)
    // The windows' blocks leave earlier than the full layers', and so are the first that others take.
    let driver = try driver(nil, window, blocks: 30)
    let first = try driver.add(prompt(320), maxNewTokens: 1)
    while driver.state(of: first) != .finished(.length) { try driver.step() }
    let filler = try driver.add(prompt(32, first: 1), maxNewTokens: 1)
    while driver.state(of: filler) != .finished(.length) { try driver.step() }
    let longer = try driver.add(prompt(320) + [9], maxNewTokens: 1)
    _ = try driver.next()
    #expect(driver.scheduler.cachedTokens(of: longer) == 320)
    try driver.commit()
    // From the middle of the prompt the window would need blocks that are gone; only the full layers have theirs.
    let middle = try driver.add(prompt(160) + [9], maxNewTokens: 1)
    _ = try driver.next()
    #expect(driver.scheduler.cachedTokens(of: middle) == 0)
    try driver.commit()
  }

  @Test("The longest sequence that a pool holds")
  func longest() {
    let groups = KVGroups([nil, KVRetention(window: 40), KVRetention(window: 40)])
    for blocks in 3...60 {
      let longest = groups.longestSequence(in: blocks, upTo: 1000, piece: 64)
      #expect(groups.blocksAtOnce(for: longest, piece: 64) <= blocks)
      #expect(longest == 1000 || groups.blocksAtOnce(for: longest + 1, piece: 64) > blocks)
    }
    #expect(KVGroups.whole.longestSequence(in: 3, upTo: 1000, piece: 64) == 48)
  }

  @Test("Settings that make no sense are refused")
  func refused() {
    #expect(throws: SchedulerError.self) { try driver(KVRetention(sinks: 0, window: 0)) }
    #expect(throws: SchedulerError.self) { try driver(KVRetention(sinks: -1, window: 5)) }
  }
}
