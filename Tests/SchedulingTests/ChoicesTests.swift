import Testing

@testable import Scheduling

@Suite struct ChoicesTests {
  static func request(_ count: Int, choices: Int, maxNewTokens: Int = 20) -> SchedulerRequest {
    var request = SchedulerRequest(prompt: prompt(count), maxNewTokens: maxNewTokens)
    request.choices = choices
    return request
  }

  @Test("The choices share the prompt's full blocks and own their tails")
  func sharing() throws {
    let driver = try Driver()
    let ids = try driver.add(Self.request(40, choices: 3))
    #expect(driver.statistics.waitingForCapacity == 1 && driver.statistics.waitingForSharedPrompt == 2)
    #expect(try driver.next() == [Work(ids[0], 40), Work(ids[1], 8), Work(ids[2], 8)])
    let tables = ids.map { driver.blocks(of: $0) }
    #expect(Set(tables.map { $0[0] }).count == 1 && Set(tables.map { $0[1] }).count == 1)
    #expect(Set(tables.map { $0[2] }).count == 3)
    #expect(driver.scheduler.pool.references(to: tables[0][0]) == 3)
    #expect(driver.scheduler.pool.references(to: tables[0][2]) == 1)
    #expect(driver.statistics.usedBlocks == 2 + 3)
    try driver.commit()
    _ = try driver.cancel(ids[0])
    #expect(driver.scheduler.pool.references(to: tables[1][0]) == 2)
    _ = try driver.cancel(ids[1])
    _ = try driver.cancel(ids[2])
    #expect(driver.statistics.usedBlocks == 0)
  }

  @Test("The others wait while the first computes a long prompt")
  func waitForPrompt() throws {
    let driver = try Driver { $0.longPrefillTokenThreshold = 32 }
    let ids = try driver.add(Self.request(70, choices: 3))
    #expect(try driver.step() == [Work(ids[0], 32, samples: false)])
    #expect(try driver.step() == [Work(ids[0], 32, samples: false)])
    #expect(driver.statistics.waitingForSharedPrompt == 2)
    #expect(try driver.step() == [Work(ids[0], 6), Work(ids[1], 6), Work(ids[2], 6)])
    #expect(driver.statistics.waitingForSharedPrompt == 0)
  }

  @Test("They start before requests that came later")
  func beforeLater() throws {
    let driver = try Driver { $0.maxNumSeqs = 2 }
    let ids = try driver.add(Self.request(70, choices: 2))
    let later = try driver.add(prompt(5, first: 9))
    #expect(try driver.step().map(\.id) == [ids[0]])
    #expect(try driver.step().map(\.id) == [ids[0], ids[1]])
    #expect(driver.state(of: later) == .waiting)
  }

  @Test("A prompt without a full block to share makes nobody wait", arguments: [1, 16])
  func shortPrompt(count: Int) throws {
    let driver = try Driver()
    let ids = try driver.add(Self.request(count, choices: 3))
    #expect(driver.statistics.waitingForSharedPrompt == 0)
    #expect(try driver.step() == ids.map { Work($0, count) })
  }

  @Test("When the first choice is cancelled early, the next one takes over", arguments: [0, 1])
  func replacedLeader(stepsBefore: Int) throws {
    let driver = try Driver { $0.longPrefillTokenThreshold = 32 }
    let ids = try driver.add(Self.request(70, choices: 3))
    for _ in 0..<stepsBefore { try driver.step() }
    #expect(try driver.cancel(ids[0]))
    #expect(driver.statistics.waitingForSharedPrompt == 1)
    var work: [Work] = []
    while driver.statistics.waitingForSharedPrompt == 1 { work = try driver.step() }
    #expect(work.map(\.id) == [ids[1], ids[2]])
  }

  @Test("A waiting choice can be cancelled, wherever it stands among the others", arguments: [1, 2, 3])
  func cancelledFollower(which: Int) throws {
    let driver = try Driver { $0.longPrefillTokenThreshold = 32 }
    let ids = try driver.add(Self.request(70, choices: 4))
    try driver.step()
    #expect(try driver.cancel(ids[which]))
    #expect(driver.statistics.waitingForSharedPrompt == 2)
    var left = ids
    left.remove(at: which)
    try driver.step()
    #expect(try driver.step().map(\.id) == left)
  }

  @Test(
    "Cancelling all of many choices, first to last or last to first, leaves nothing",
    arguments: [false, true])
  func cancelAll(reversed: Bool) throws {
    let driver = try Driver { $0.longPrefillTokenThreshold = 32 }
    let ids = try driver.add(Self.request(70, choices: 6))
    try driver.step()
    for id in reversed ? ids.reversed() : ids { #expect(try driver.cancel(id)) }
    #expect(driver.isIdle && driver.statistics.usedBlocks == 0)
    #expect(try driver.step() == [])
  }

  @Test("Without the prefix cache every choice computes the prompt")
  func withoutCache() throws {
    let driver = try Driver { $0.enablePrefixCaching = false }
    let ids = try driver.add(Self.request(20, choices: 2))
    #expect(try driver.step() == ids.map { Work($0, 20) })
  }
}
