import Testing

@testable import Scheduling

/// Speculative tokens: what a step takes of them, and what is left of them afterwards.
@Suite struct DraftTests {
  private func decoding(
    _ count: Int, blocks: Int = 64, maxNewTokens: Int = 100,
    _ change: (inout SchedulerConfiguration) -> Void = { _ in }
  ) throws -> (Driver, SequenceID) {
    let driver = try Driver(blocks: blocks, change)
    let id = try driver.add(prompt(count), maxNewTokens: maxNewTokens)
    try driver.step(token: 7)
    return (driver, id)
  }

  private func tokens(_ driver: Driver, _ id: SequenceID) -> [Int32] {
    driver.scheduler.withTokens(of: id) { span in span.indices.map { span[$0] } } ?? []
  }

  @Test("A decode carries its drafts, with a row of logits for each")
  func carries() throws {
    let (driver, id) = try decoding(5)
    driver.scheduler.propose([8, 9, 10], for: id)
    #expect(try driver.next() == [Work(id, 4)])
    #expect(driver.plan.entries[0].draftCount == 3)
    #expect(driver.plan.tokens == [7, 8, 9, 10])
    #expect(driver.logitPositions(of: id) == [5, 6, 7, 8])
    try driver.commit(token: 20, accepted: 2)
    #expect(driver.outcomes == [.sampled])
    #expect(tokens(driver, id) == prompt(5) + [7, 8, 9, 20])
    // The next step overwrites the refused draft's slot.
    _ = driver.scheduler.next(into: &driver.plan)
    #expect(driver.plan.tokens == [20] && driver.plan.positions == [8])
  }

  @Test("Refused drafts give their blocks back; accepted ones are published when they fill a block")
  func blocks() throws {
    let (driver, id) = try decoding(14) { $0.maxLogitRows = 64 }
    driver.scheduler.propose(ArraySlice(repeating: 3, count: 30), for: id)
    _ = try driver.next()
    #expect(driver.statistics.usedBlocks == 3)
    try driver.commit(token: 9, accepted: 0)
    #expect(driver.statistics.usedBlocks == 1)
    driver.scheduler.propose(ArraySlice(repeating: 3, count: 3), for: id)
    _ = try driver.next()
    try driver.commit(token: 9, ending: [id], accepted: 3)
    #expect(driver.statistics.cachedBlocks == 1 && driver.statistics.usedBlocks == 0)
    // What was accepted is found by whoever has the same tokens.
    let other = try driver.add(prompt(14) + [7, 9, 3, 3, 3])
    _ = try driver.next()
    #expect(driver.scheduler.cachedTokens(of: other) == 16)
  }

  @Test("Drafts never reach beyond the sequence's last token")
  func limit() throws {
    let (driver, id) = try decoding(5, maxNewTokens: 4)
    #expect(driver.scheduler.draftRoom(of: id) == 2)
    driver.scheduler.propose([1, 2, 3, 4, 5], for: id)
    #expect(try driver.next() == [Work(id, 3)])
    try driver.commit(token: 3, accepted: 2)
    #expect(driver.outcomes == [.finished(.length)])
  }

  @Test("Drafts take what tokens and rows are left, and prompts get their half")
  func budget() throws {
    let (driver, id) = try decoding(5) {
      $0.maxNumBatchedTokens = 9
      $0.maxLogitRows = 9
      $0.maxNumSeqs = 2
    }
    driver.scheduler.propose(ArraySlice(repeating: 3, count: 30), for: id)
    #expect(try driver.next() == [Work(id, 9)])
    try driver.commit(token: 9, accepted: 0)
    let other = try driver.add(prompt(20, first: 1))
    driver.scheduler.propose(ArraySlice(repeating: 3, count: 30), for: id)
    #expect(try driver.next() == [Work(id, 5), Work(other, 4, samples: false)])
  }

  @Test("Drafts preempt nobody")
  func preemption() throws {
    let (driver, first) = try decoding(14, blocks: 3, maxNewTokens: 20)
    let second = try driver.add(prompt(14, first: 1), maxNewTokens: 20)
    try driver.step(token: 7)
    for id in [first, second] { driver.scheduler.propose(ArraySlice(repeating: 3, count: 30), for: id) }
    // The second has a place left in its block, and the third block stays for who needs it.
    #expect(try driver.next() == [Work(first, 1), Work(second, 2)])
    #expect(driver.statistics.preemptions == 0)
  }

  @Test("Drafts for who cannot use them are ignored")
  func ignored() throws {
    let driver = try Driver()
    let id = try driver.add(prompt(100))
    driver.scheduler.propose([1, 2], for: id)
    #expect(try driver.step() == [Work(id, 64, samples: false)])
    #expect(driver.scheduler.draftRoom(of: id) == 0)
    driver.scheduler.propose([1, 2], for: id)
    #expect(try driver.step() == [Work(id, 36)])
    #expect(try driver.cancel(id))
    driver.scheduler.propose([1, 2], for: id)
    #expect(driver.isIdle)
  }
}
