import Testing

@testable import Scheduling

@Suite struct PreemptionTests {
  @Test("The newest sequence gives way, keeps its tokens and goes on where it was")
  func recompute() throws {
    let driver = try Driver(blocks: 4)
    let old = try driver.add(prompt(30, first: 1), maxNewTokens: 20)
    let young = try driver.add(prompt(30, first: 2), maxNewTokens: 20)
    try driver.step(token: 7)
    try driver.step(token: 8)
    try driver.step(token: 9)
    // Both have 33 tokens now and need a third block; there is none.
    #expect(try driver.next() == [Work(old, 1)])
    #expect(driver.state(of: young) == .preempted)
    try driver.commit(token: 10)
    #expect(driver.statistics.preemptions == 1)
    #expect(driver.statistics.running == 1 && driver.statistics.waitingForCapacity == 1)

    while driver.state(of: old) == .running { try driver.step(token: 11) }
    #expect(driver.state(of: old) == .finished(.length))
    try driver.step(token: 12)
    #expect(driver.tokens(of: young) == prompt(30, first: 2) + [7, 8, 9, 12])
    while driver.state(of: young) == .running { try driver.step(token: 13) }
    #expect(driver.tokens(of: young).count == 50)
    #expect(driver.tokens(of: old).count == 50)
  }

  @Test("A preempted sequence finds what is left of its blocks in the cache")
  func recomputeFromCache() throws {
    let driver = try Driver(blocks: 6)
    let old = try driver.add(prompt(46, first: 1), maxNewTokens: 4)
    let young = try driver.add(prompt(47, first: 2), maxNewTokens: 30)
    try driver.step()
    try driver.step()
    try driver.step()
    #expect(try driver.next() == [Work(old, 1)])
    #expect(driver.state(of: young) == .preempted)
    try driver.commit()
    #expect(driver.state(of: old) == .finished(.length))
    // Of its three full blocks the last was taken by the old sequence; 48 + 2 tokens are known by now.
    let work = try driver.step()
    #expect(work.map(\.id) == [young])
    #expect(driver.blocks(of: young).count == 4)
    #expect(work.map(\.count).first ?? 0 <= 50 - 32)
  }

  @Test("A prompt in pieces gives way as well, and a preempted decode's place in the step is given back")
  func preemptsScheduled() throws {
    let driver = try Driver(blocks: 7) {
      $0.longPrefillTokenThreshold = 32
      $0.watermarkBlocks = 0
    }
    let old = try driver.add(prompt(33, first: 1), maxNewTokens: 70)
    try driver.step()
    let middle = try driver.add(prompt(15, first: 2), maxNewTokens: 80)
    let young = try driver.add(prompt(15, first: 3), maxNewTokens: 80)
    var worked = Set<SequenceID>()
    for _ in 0..<400 where driver.statistics.running + driver.statistics.waiting > 0 {
      worked.formUnion(try driver.step().map(\.id))
    }
    #expect(worked == [old, middle, young])
    #expect(driver.statistics.preemptions > 0)
    #expect(driver.statistics.running + driver.statistics.waiting == 0)
  }

  @Test("Under the priority policy the least urgent gives way, even if it is the oldest")
  func leastUrgent() throws {
    let driver = try Driver(blocks: 4) { $0.policy = .priority }
    let lazy = try driver.add(prompt(30, first: 1), maxNewTokens: 20, priority: 9)
    let urgent = try driver.add(prompt(30, first: 2), maxNewTokens: 20, priority: 1)
    for _ in 0..<3 { try driver.step() }
    #expect(try driver.step() == [Work(urgent, 1)])
    #expect(driver.state(of: lazy) == .preempted)
  }

  @Test("Nobody starts in a step that had to preempt")
  func noAdmission() throws {
    let driver = try Driver(blocks: 5) {
      $0.policy = .priority
      $0.maxNumSeqs = 2
    }
    let middle = try driver.add(prompt(31, first: 1), maxNewTokens: 20, priority: 1)
    let lazy = try driver.add(prompt(33, first: 2), maxNewTokens: 20, priority: 2)
    try driver.step()
    let urgent = try driver.add(prompt(2, first: 3), maxNewTokens: 5, priority: 0)
    #expect(try driver.step() == [Work(middle, 1), Work(lazy, 1)])
    #expect(try driver.step() == [Work(middle, 1)])
    #expect(driver.state(of: lazy) == .preempted)
    #expect(try driver.step() == [Work(middle, 1), Work(urgent, 2)])
    #expect(driver.state(of: urgent) == .running)
  }

  @Test("The oldest request computes in every step, whatever is added behind it")
  func noStarvation() throws {
    let driver = try Driver(blocks: 6)
    let oldest = try driver.add(prompt(20, first: 1), maxNewTokens: 60)
    for index in 0..<60 {
      _ = try driver.add(prompt(17, first: Int32(index + 2)), maxNewTokens: 40)
      let work = try driver.step()
      #expect(work.contains { $0.id == oldest })
    }
    #expect(driver.state(of: oldest) == .finished(.length))
  }

  @Test("Under a flood of requests everybody ends, in order of arrival but for the last few")
  func flood() throws {
    let driver = try Driver(blocks: 6) { $0.maxNumSeqs = 3 }
    let ids = try (1...40).map { try driver.add(prompt(17, first: $0), maxNewTokens: 30) }
    var ended: [SequenceID] = []
    var steps = 0
    while ended.count < ids.count && steps < 40 * 30 {
      try driver.step()
      steps += 1
      ended += zip(driver.plan.entries, driver.outcomes).filter { $0.1 == .finished(.length) }.map(\.0.id)
    }
    #expect(Set(ended) == Set(ids))
    for (index, id) in ended.enumerated() { #expect(abs(Int(id.serial) - index) <= 3) }
  }
}
