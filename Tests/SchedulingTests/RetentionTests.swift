import Testing

@testable import Scheduling

/// Windows and sinks: what is given back, and what the cache still finds.
@Suite struct RetentionTests {
  private func driver(_ retention: KVRetention, blocks: Int = 64, length: Int = 4096) throws -> Driver {
    try Driver(blocks: blocks) {
      $0.retention = retention
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

  @Test("Settings that make no sense are refused")
  func refused() {
    #expect(throws: SchedulerError.self) { try driver(KVRetention(sinks: 0, window: 0)) }
    #expect(throws: SchedulerError.self) { try driver(KVRetention(sinks: -1, window: 5)) }
  }
}
