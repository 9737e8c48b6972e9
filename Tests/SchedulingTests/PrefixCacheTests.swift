import Testing

@testable import Scheduling

@Suite struct PrefixCacheTests {
  @Test("A request reuses the blocks of one that is over")
  func reuseAfterEnd() throws {
    let driver = try Driver()
    let first = try driver.add(prompt(40), maxNewTokens: 1)
    try driver.step()
    let blocks = driver.blocks(of: first)
    #expect(driver.statistics.usedBlocks == 0 && driver.statistics.cachedBlocks == 2)

    let second = try driver.add(prompt(40), maxNewTokens: 1)
    #expect(try driver.next() == [Work(second, 8)])
    #expect(driver.plan.entries[0].cachedTokens == 32)
    #expect(driver.blocks(of: second).prefix(2) == blocks.prefix(2))
    #expect(driver.scheduler.cachedTokens(of: second) == 32)
    #expect(driver.statistics.prefixCacheQueries == 80 && driver.statistics.prefixCacheHits == 32)
  }

  @Test("The last token is always computed, so a prompt of whole blocks leaves its last block out")
  func lastTokenIsComputed() throws {
    let driver = try Driver()
    _ = try driver.add(prompt(32), maxNewTokens: 1)
    try driver.step()
    #expect(driver.statistics.cachedBlocks == 2)
    let second = try driver.add(prompt(32), maxNewTokens: 1)
    #expect(try driver.step() == [Work(second, 16)])
  }

  @Test("A hit ends at the first block that differs", arguments: [0, 15, 16, 31, 32, 47])
  func differingToken(position: Int) throws {
    let driver = try Driver()
    _ = try driver.add(prompt(60), maxNewTokens: 1)
    try driver.step()
    var other = prompt(60)
    other[position] += 1
    let second = try driver.add(other, maxNewTokens: 1)
    #expect(try driver.step() == [Work(second, 60 - position / 16 * 16)])
  }

  @Test("Sampled tokens are cached like a prompt's: the next turn of a chat finds the whole last one")
  func outputsAreCached() throws {
    let driver = try Driver()
    let first = try driver.add(prompt(20), maxNewTokens: 30)
    for _ in 0..<30 { try driver.step(token: 5) }
    #expect(driver.state(of: first) == .finished(.length))
    let turn = driver.tokens(of: first) + prompt(10, first: 4)
    let second = try driver.add(turn, maxNewTokens: 1)
    #expect(try driver.step() == [Work(second, turn.count - 48)])
  }

  @Test("Requests of one step share a prefix that the first of them computes")
  func sameStep() throws {
    let driver = try Driver { $0.maxNumBatchedTokens = 200 }
    let ids = try (0..<4).map { _ in try driver.add(prompt(70)) }
    let work = try driver.step()
    #expect(work == [Work(ids[0], 70)] + ids[1...].map { Work($0, 6) })
    #expect(driver.statistics.usedBlocks == 4 + 4)
  }

  @Test("Equal prompts under different salts share nothing, under equal ones everything")
  func salts() throws {
    let driver = try Driver { $0.maxNumBatchedTokens = 1000 }
    for salt in [nil, "", "a", "b"] {
      _ = try driver.add(prompt(40), maxNewTokens: 1, salt: salt)
      #expect(try driver.step().map(\.count) == [40])
    }
    for salt in [nil, "", "a", "b"] {
      _ = try driver.add(prompt(40), maxNewTokens: 1, salt: salt)
      #expect(try driver.step().map(\.count) == [8])
    }
    #expect(driver.statistics.cachedBlocks == 8)
  }

  @Test("Without the prefix cache nothing is shared or kept")
  func disabled() throws {
    let driver = try Driver { $0.enablePrefixCaching = false }
    for _ in 0..<2 {
      _ = try driver.add(prompt(40), maxNewTokens: 1)
      #expect(try driver.step().map(\.count) == [40])
    }
    #expect(driver.statistics.cachedBlocks == 0 && driver.statistics.freeBlocks == 64)
    #expect(driver.statistics.prefixCacheQueries == 0)
  }

  @Test("The least recently used prefix is given up first, its end before its start")
  func eviction() throws {
    let driver = try Driver(blocks: 6)
    for first: Int32 in [1, 2] {
      _ = try driver.add(prompt(33, first: first), maxNewTokens: 1)
      try driver.step()
    }
    // Cached: two blocks of each, two are free. Using the first prefix again makes the second the older one.
    _ = try driver.add(prompt(33, first: 1), maxNewTokens: 1)
    #expect(try driver.step().map(\.count) == [1])
    // Three new blocks cost the two free ones and the end of the second prefix.
    _ = try driver.add(prompt(33, first: 3), maxNewTokens: 1)
    #expect(try driver.step().map(\.count) == [33])
    _ = try driver.add(prompt(33, first: 2), maxNewTokens: 1)
    #expect(try driver.step().map(\.count) == [17])
  }

  @Test("The blocks of an abandoned step are not in the cache")
  func abandoned() throws {
    let driver = try Driver { $0.longPrefillTokenThreshold = 32 }
    let id = try driver.add(prompt(60))
    try driver.step()
    #expect(try driver.next() == [Work(id, 28)])
    driver.scheduler.abandon(driver.plan, outcomes: &driver.outcomes)
    try driver.scheduler.checkInvariants()
    #expect(driver.outcomes == [.finished(.failed)])
    #expect(driver.state(of: id) == .finished(.failed))
    #expect(driver.statistics.cachedBlocks == 2)
    let again = try driver.add(prompt(60))
    #expect(try driver.step() == [Work(again, 28)])
  }

  @Test("Nothing that a failed sequence computed is found again, and others go on")
  func failed() throws {
    let driver = try Driver()
    let healthy = try driver.add(prompt(20, first: 9))
    try driver.step()
    let broken = try driver.add(prompt(40))
    #expect(try driver.next() == [Work(healthy, 1), Work(broken, 40)])
    driver.scheduler.commit(
      driver.plan, sampled: [SampledToken(token: 1), SampledToken(token: -1, isFailure: true)],
      outcomes: &driver.outcomes)
    try driver.scheduler.checkInvariants()
    #expect(driver.outcomes == [.sampled, .finished(.failed)])
    #expect(driver.statistics.cachedBlocks == 0)
    let again = try driver.add(prompt(40))
    let isPlanned = driver.scheduler.next(into: &driver.plan)
    #expect(isPlanned)
    #expect(driver.plan.entries.map(\.tokenCount) == [1, 40])
    #expect(driver.plan.entries.map(\.id) == [healthy, again])
  }
}
