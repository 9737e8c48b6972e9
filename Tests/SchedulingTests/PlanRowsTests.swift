import TestSupport
import Testing

@testable import Scheduling

@Suite struct PlanRowsTests {
  @Test("A plan that keeps its rows holds what a fresh one holds, up to the stride", arguments: UInt64(1)...8)
  func reusedRows(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let kept = try Driver(blocks: 40)
    let fresh = try Driver(blocks: 40)
    for index in 0..<300 {
      if random.chance(1, in: 4) {
        let tokens = prompt(1 + random.below(80), first: Int32(random.below(4)))
        let output = 1 + random.below(300 / (1 + index % 5))
        _ = try kept.add(tokens, maxNewTokens: output)
        _ = try fresh.add(tokens, maxNewTokens: output)
      }
      fresh.plan = StepPlan()
      #expect(try kept.step() == fresh.step())
      #expect(kept.plan.slots == fresh.plan.slots && kept.plan.logitRows == fresh.plan.logitRows)
      for entry in fresh.plan.entries { #expect(kept.blocks(of: entry.id) == fresh.blocks(of: entry.id)) }
    }
  }

  @Test("Two plans can be used in turn")
  func twoPlans() throws {
    let driver = try Driver()
    for first: Int32 in 1...4 { _ = try driver.add(prompt(20, first: first), maxNewTokens: 60) }
    var other = StepPlan()
    for _ in 0..<62 {
      swap(&driver.plan, &other)
      try driver.step()
    }
    #expect(driver.isIdle)
  }

  @Test("The stride grows beyond the need and shrinks when it is mostly padding")
  func stride() {
    var plan = StepPlan()
    plan.fitBlockTables(to: 5)
    #expect(plan.blockTableStride == 8)
    plan.fitBlockTables(to: 8)
    #expect(plan.blockTableStride == 8)
    plan.fitBlockTables(to: 9)
    #expect(plan.blockTableStride == 16)
    plan.fitBlockTables(to: 1000)
    #expect(plan.blockTableStride == 1256)
    plan.fitBlockTables(to: 400)
    #expect(plan.blockTableStride == 1256)
    plan.fitBlockTables(to: 300)
    #expect(plan.blockTableStride == 376)
  }

  @Test("An emptied plan is like a new one")
  func removeAll() throws {
    let driver = try Driver()
    _ = try driver.add(prompt(20))
    try driver.step()
    driver.plan.removeAll()
    #expect(driver.plan.isEmpty && driver.plan.blockTables.isEmpty && driver.plan.tokens.isEmpty)
    try driver.step()
    #expect(driver.plan.entries.count == 1)
  }

  @Test("The workload of the benchmark keeps its number of sequences running")
  func workload() throws {
    var workload = try SchedulerWorkload.start(
      sequences: 6, promptTokens: 40, outputTokens: 9, staggered: true)
    for _ in 0..<50 {
      let tokens = try workload.step()
      #expect(tokens >= 6)
      let running = workload.scheduler.statistics
      #expect(running.running + running.waiting == 6)
      try workload.scheduler.checkInvariants()
    }
  }
}
