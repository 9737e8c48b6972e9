import Testing

@testable import Scheduling

/// Steps that are planned before the tokens of the step before are known.
@Suite struct OverlapTests {
  @Test("Random operations keep every promise while steps overlap", arguments: UInt64(1)...16)
  func randomOperations(seed: UInt64) throws {
    var simulation = try OverlapSimulation(seed: seed)
    for _ in 0..<4000 { try simulation.operate() }
    try simulation.drain()
    #expect(simulation.steps > 400 && simulation.finished > 80)
    #expect(simulation.fedTokens > 100)
    #expect(simulation.overruns > 5)
  }

  /// A scheduler that macros can look at.
  private final class Bench {
    private var scheduler: Scheduler
    private(set) var outcomes: [CommitOutcome] = []

    init(_ configuration: SchedulerConfiguration) throws { scheduler = try Scheduler(configuration) }

    func add(_ prompt: [Int32], max: Int) throws -> SequenceID {
      try scheduler.add(SchedulerRequest(prompt: prompt, maxNewTokens: max))[0]
    }
    func next() throws -> StepPlan? {
      let plan = scheduler.next()
      try scheduler.checkInvariants()
      return plan
    }
    func presume(_ plan: StepPlan) throws {
      scheduler.presume(plan)
      try scheduler.checkInvariants()
    }
    func commit(_ plan: StepPlan, _ token: Int32, ending: [SequenceID] = []) throws {
      let sampled = plan.entries.map { SampledToken(token: token, ends: ending.contains($0.id)) }
      scheduler.commit(plan, sampled: sampled, outcomes: &outcomes)
      try scheduler.checkInvariants()
    }
    func cancel(_ id: SequenceID) -> Bool { scheduler.cancel(id) }
    func token(_ index: Int, of id: SequenceID) -> Int32? { scheduler.withTokens(of: id) { $0[index] } }
    func isPublished(_ block: Int32) -> Bool { scheduler.pool.isPublished(block) }
    func state(of id: SequenceID) -> SequenceState? { scheduler.state(of: id) }
    var isIdle: Bool { scheduler.isIdle }
    var statistics: SchedulerStatistics { scheduler.statistics }
  }

  private static func bench(blocks: Int = 32) throws -> Bench {
    var configuration = SchedulerConfiguration(
      blockCount: blocks, maxModelLength: 256, hashKey: BlockHashKey(low: 1, high: 2))
    configuration.maxNumSeqs = 4
    configuration.maxLogitRows = 8
    configuration.maxNumBatchedTokens = 64
    configuration.watermarkBlocks = 0
    return try Bench(configuration)
  }

  @Test func `the next step says where its tokens are`() throws {
    let bench = try Self.bench()
    let first = try bench.add(prompt(5, first: 1), max: 9)
    let plan = try #require(try bench.next())
    #expect(plan.tokenSources.isEmpty)
    let second = try bench.add(prompt(3, first: 2), max: 9)
    try bench.presume(plan)
    let next = try #require(try bench.next())
    #expect(next.entries.map(\.id) == [first, second])
    #expect(next.tokenSources == [0] && next.positions.prefix(1) == [5] && next.contextLengths == [6, 3])
    try bench.commit(plan, 77)
    #expect(bench.outcomes == [.sampled])
    #expect(bench.token(5, of: first) == 77)
    try bench.presume(next)
    let third = try #require(try bench.next())
    #expect(third.tokenSources == [0, 1])
    try bench.commit(next, 78)
    // Without overlap the tokens are in the plan.
    try bench.commit(third, 79)
    let last = try #require(try bench.next())
    #expect(last.tokenSources.isEmpty && last.tokens == [79, 79])
  }

  @Test func `a sequence that stopped is computed once more for nothing, and its blocks are free at once`()
    throws
  {
    let bench = try Self.bench()
    // 15 tokens and the sampled one fill a block.
    let id = try bench.add(prompt(15, first: 1), max: 50)
    let plan = try #require(try bench.next())
    try bench.presume(plan)
    let next = try #require(try bench.next())
    #expect(next.entries.map(\.id) == [id])
    try bench.commit(plan, 5, ending: [id])
    #expect(bench.outcomes == [.finished(.stopped)])
    #expect(bench.isIdle && bench.statistics.usedBlocks == 0)
    // What the overrun computes has no name: nobody confirmed that its token belongs there.
    #expect(bench.statistics.cachedBlocks == 0)
    // The place is taken by somebody else before the overrun is committed.
    let other = try bench.add(prompt(4, first: 2), max: 5)
    #expect(other.slot == id.slot)
    try bench.presume(next)
    let third = try #require(try bench.next())
    #expect(third.entries.map(\.id) == [other] && third.tokenSources.isEmpty)
    try bench.commit(next, 6)
    #expect(bench.outcomes == [.discarded])
  }

  @Test func `a block is published when its last token is confirmed, not before`() throws {
    let bench = try Self.bench()
    _ = try bench.add(prompt(15, first: 1), max: 50)
    let plan = try #require(try bench.next())
    try bench.presume(plan)
    let next = try #require(try bench.next())
    let block = next.blockTables[0]
    #expect(!bench.isPublished(block))
    try bench.commit(plan, 5)
    #expect(bench.isPublished(block))
    try bench.commit(next, 6)
    // Who has the same tokens finds it.
    _ = try bench.add(prompt(15, first: 1) + [5, 1], max: 1)
    let third = try #require(try bench.next())
    #expect(third.entries.count == 2 && third.entries[1].cachedTokens == 16)
  }

  @Test func `what ends by length is not planned again`() throws {
    let bench = try Self.bench()
    _ = try bench.add(prompt(5, first: 1), max: 1)
    _ = try bench.add(prompt(5, first: 2), max: 0)
    let plan = try #require(try bench.next())
    try bench.presume(plan)
    #expect(try bench.next() == nil)
    try bench.commit(plan, 9)
    #expect(bench.outcomes == [.finished(.length), .finished(.length)])
    #expect(bench.isIdle && bench.statistics.usedBlocks == 0)
  }

  @Test func `a sequence cancelled between the two steps is in neither any more`() throws {
    let bench = try Self.bench()
    let ids = try (1...2).map {
      try bench.add(prompt(5, first: $0), max: 9)
    }
    let plan = try #require(try bench.next())
    #expect(bench.cancel(ids[0]))
    try bench.presume(plan)
    let next = try #require(try bench.next())
    #expect(next.entries.map(\.id) == [ids[1]])
    #expect(bench.cancel(ids[1]))
    try bench.commit(plan, 9)
    #expect(bench.outcomes == [.discarded, .discarded])
    #expect(bench.isIdle && bench.statistics.usedBlocks == 0)
    try bench.commit(next, 9)
    #expect(bench.outcomes == [.discarded])
    #expect(try bench.next() == nil)
  }

  @Test func `a sequence preempted with an unknown token goes on with it`() throws {
    let bench = try Self.bench(blocks: 3)
    let first = try bench.add(prompt(15, first: 1), max: 20)
    let second = try bench.add(prompt(15, first: 2), max: 20)
    var plan = try #require(try bench.next())
    try bench.commit(plan, 4)
    plan = try #require(try bench.next())
    #expect(plan.entries.count == 2)
    // Both have 16 tokens computed and need a second block; there is one.
    try bench.presume(plan)
    let next = try #require(try bench.next())
    #expect(next.entries.map(\.id) == [first] && bench.state(of: second) == .preempted)
    try bench.commit(plan, 8)
    #expect(bench.outcomes == [.sampled, .sampled])
    #expect(bench.token(16, of: second) == 8)
    try bench.commit(next, 9, ending: [first])
    let third = try #require(try bench.next())
    #expect(third.entries.map(\.id) == [second] && third.tokens.last == 8)
  }
}
