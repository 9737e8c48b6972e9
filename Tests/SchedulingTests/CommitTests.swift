import Testing

@testable import Scheduling

@Suite struct CommitTests {
  @Test("A sequence ends by length after its last token, and by stop when the sampler says so")
  func ends() throws {
    let driver = try Driver()
    let long = try driver.add(prompt(4, first: 1), maxNewTokens: 3)
    let stopped = try driver.add(prompt(4, first: 2), maxNewTokens: 3)
    try driver.step()
    #expect(driver.outcomes == [.sampled, .sampled])
    try driver.step(ending: [stopped])
    #expect(driver.outcomes == [.sampled, .finished(.stopped)])
    try driver.step()
    #expect(driver.outcomes == [.finished(.length)])
    #expect(driver.tokens(of: long).count == 7 && driver.tokens(of: stopped).count == 6)
    #expect(try driver.step() == [] && driver.isIdle)
  }

  @Test("The output ends at the model's length")
  func modelLength() throws {
    let driver = try Driver { $0.maxModelLength = 10 }
    let id = try driver.add(prompt(8), maxNewTokens: 1000)
    try driver.step()
    #expect(driver.outcomes == [.sampled])
    try driver.step()
    #expect(driver.outcomes == [.finished(.length)])
    #expect(driver.tokens(of: id).count == 10)
  }

  @Test("A piece of a prompt samples nothing, whatever is passed for it")
  func pieces() throws {
    let driver = try Driver()
    let id = try driver.add(prompt(100))
    try driver.step(token: 9, ending: [id])
    #expect(driver.outcomes == [.computed])
    let count = driver.scheduler.withTokens(of: id) { $0.count }
    #expect(count == 100)
  }

  @Test("The tokens of a live sequence can be read, those of an ended one cannot")
  func readTokens() throws {
    let driver = try Driver()
    let id = try driver.add(prompt(3), maxNewTokens: 2)
    let before = driver.scheduler.withTokens(of: id) { [$0[0], $0[2]] }
    #expect(before == [0, 2])
    try driver.step(token: 8)
    let after = driver.scheduler.withTokens(of: id) { [Int32($0.count), $0[3]] }
    #expect(after == [4, 8])
    try driver.step()
    let ended = driver.scheduler.withTokens(of: id) { $0.count }
    #expect(ended == nil)
  }

  @Test("Cancelling a waiting request forgets it at once")
  func cancelWaiting() throws {
    let driver = try Driver { $0.maxNumSeqs = 1 }
    let first = try driver.add(prompt(4, first: 1))
    let second = try driver.add(prompt(4, first: 2))
    try driver.step()
    #expect(try driver.cancel(second))
    #expect(driver.state(of: second) == .finished(.cancelled))
    #expect(try driver.cancel(second) == false)
    #expect(driver.statistics.waiting == 0)
    #expect(try driver.step() == [Work(first, 1)])
  }

  @Test("Cancelling a running request between steps frees its memory at once")
  func cancelRunning() throws {
    let driver = try Driver()
    let id = try driver.add(prompt(40))
    try driver.step()
    #expect(driver.statistics.usedBlocks == 3)
    #expect(try driver.cancel(id))
    #expect(driver.statistics.usedBlocks == 0 && driver.statistics.running == 0)
  }

  @Test("Cancelling in mid-step leaves the memory alone until the commit, which discards the token")
  func cancelInFlight() throws {
    let driver = try Driver()
    let first = try driver.add(prompt(40, first: 1))
    let second = try driver.add(prompt(20, first: 2))
    _ = try driver.next()
    #expect(try driver.cancel(first))
    #expect(try driver.cancel(first) == false)
    #expect(driver.statistics.usedBlocks == 5)
    try driver.commit()
    #expect(driver.outcomes == [.discarded, .sampled])
    #expect(driver.state(of: first) == .finished(.cancelled))
    #expect(driver.statistics.usedBlocks == 2)
    #expect(driver.tokens(of: first).count == 40)
    #expect(try driver.step() == [Work(second, 1)])
  }

  @Test("Cancelling a preempted request works like cancelling a waiting one")
  func cancelPreempted() throws {
    let driver = try Driver(blocks: 4)
    let old = try driver.add(prompt(30, first: 1), maxNewTokens: 20)
    let young = try driver.add(prompt(30, first: 2), maxNewTokens: 20)
    for _ in 0..<4 { try driver.step() }
    #expect(driver.state(of: young) == .preempted)
    #expect(try driver.cancel(young))
    #expect(driver.statistics.waiting == 0)
    #expect(try driver.step() == [Work(old, 1)])
  }

  @Test("A request added in mid-step joins the next one")
  func addInFlight() throws {
    let driver = try Driver()
    let first = try driver.add(prompt(4, first: 1))
    _ = try driver.next()
    let second = try driver.add(prompt(4, first: 2))
    try driver.commit()
    #expect(try driver.step() == [Work(first, 1), Work(second, 4)])
  }

  @Test("An abandoned step ends its sequences, discards cancelled ones, and spares the others")
  func abandon() throws {
    let driver = try Driver { $0.longPrefillTokenThreshold = 60 }
    let first = try driver.add(prompt(60, first: 1))
    let second = try driver.add(prompt(4, first: 2))
    let spared = try driver.add(prompt(30, first: 3))
    #expect(try driver.next() == [Work(first, 60), Work(second, 4)])
    _ = try driver.cancel(second)
    driver.scheduler.abandon(driver.plan, outcomes: &driver.outcomes)
    try driver.scheduler.checkInvariants()
    #expect(driver.outcomes == [.finished(.failed), .discarded])
    #expect(driver.statistics.cachedBlocks == 0 && driver.statistics.freeBlocks == 64)
    #expect(try driver.step() == [Work(spared, 30)])
  }

  @Test("Steps out of turn trap")
  func traps() async {
    await #expect(processExitsWith: .failure) {
      var scheduler = try Scheduler(SchedulerConfiguration(blockCount: 4, maxModelLength: 64))
      _ = try scheduler.add(SchedulerRequest(prompt: [1], maxNewTokens: 2))
      _ = scheduler.next()
      _ = scheduler.next()
    }
    await #expect(processExitsWith: .failure) {
      var scheduler = try Scheduler(SchedulerConfiguration(blockCount: 4, maxModelLength: 64))
      var outcomes: [CommitOutcome] = []
      scheduler.commit(StepPlan(), sampled: [], outcomes: &outcomes)
    }
    await #expect(processExitsWith: .failure) {
      var scheduler = try Scheduler(SchedulerConfiguration(blockCount: 4, maxModelLength: 64))
      _ = try scheduler.add(SchedulerRequest(prompt: [1], maxNewTokens: 2))
      var outcomes: [CommitOutcome] = []
      if let plan = scheduler.next() { scheduler.commit(plan, sampled: [], outcomes: &outcomes) }
    }
  }
}
