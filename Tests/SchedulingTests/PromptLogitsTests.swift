import Testing

@testable import Scheduling

@Suite struct PromptLogitsTests {
  @Test(
    "Every prompt position gets one row, over as many pieces as the row limit needs",
    arguments: [1, 2, 16, 17, 50])
  func everyPosition(count: Int) throws {
    let driver = try Driver()
    let id = try driver.add(prompt(count), maxNewTokens: 2, promptLogits: true)
    var rows: [Int32] = []
    var samples = 0
    while samples == 0 {
      let work = try driver.step()
      #expect(driver.plan.logitRows.count <= 8)
      rows += driver.logitPositions(of: id)
      if work.first?.samples == true { samples += 1 }
    }
    #expect(rows == (0..<Int32(count)).map { $0 })
    try driver.step()
    #expect(driver.logitPositions(of: id) == [Int32(count)])
  }

  @Test("A piece has at most the rows that decodes leave, and never cuts theirs")
  func sharedRows() throws {
    let driver = try Driver()
    let decoding = try (1...3).map { try driver.add(prompt(4, first: $0)) }
    try driver.step()
    let scored = try driver.add(prompt(12, first: 9), promptLogits: true)
    #expect(try driver.step() == decoding.map { Work($0, 1) } + [Work(scored, 5, samples: false)])
    #expect(try driver.step() == decoding.map { Work($0, 1) } + [Work(scored, 5, samples: false)])
    #expect(try driver.step() == decoding.map { Work($0, 1) } + [Work(scored, 2)])
  }

  @Test("When rows run out, another prompt stops in front of its last token")
  func stopsBeforeSampling() throws {
    let driver = try Driver()
    let scored = try driver.add(prompt(20, first: 1), promptLogits: true)
    let plain = try driver.add(prompt(10, first: 2))
    #expect(try driver.step() == [Work(scored, 8, samples: false), Work(plain, 9, samples: false)])
    #expect(try driver.step() == [Work(scored, 7, samples: false), Work(plain, 1)])
  }

  @Test("Such a request takes nothing from the cache, and leaves its blocks there for others")
  func skipsCache() throws {
    let driver = try Driver { $0.maxLogitRows = 64 }
    _ = try driver.add(prompt(40), maxNewTokens: 1)
    try driver.step()
    let scored = try driver.add(prompt(40), maxNewTokens: 1, promptLogits: true)
    #expect(try driver.step() == [Work(scored, 40)])
    #expect(driver.statistics.prefixCacheQueries == 40)
    let plain = try driver.add(prompt(40), maxNewTokens: 1)
    #expect(try driver.step() == [Work(plain, 8)])
  }

  @Test("After a preemption rows that are done are not computed again")
  func preempted() throws {
    let driver = try Driver(blocks: 5) { $0.policy = .priority }
    let scored = try driver.add(prompt(40, first: 1), maxNewTokens: 3, priority: 5, promptLogits: true)
    for _ in 0..<3 { try driver.step() }
    let urgent = try driver.add(prompt(30, first: 2), maxNewTokens: 30, priority: 1)
    var rows: [Int32] = []
    while driver.state(of: scored) != .finished(.length) {
      try driver.step()
      rows += driver.logitPositions(of: scored)
    }
    #expect(driver.statistics.preemptions > 0)
    #expect(driver.state(of: urgent) == .finished(.length))
    // 24 positions were done before; from there on each is there once, the samples at 39, 40 and 41 too.
    #expect(rows == (24...41).map { Int32($0) })
  }

  @Test("Only one of several choices asks for the rows, the next one if it is cancelled before they are done")
  func choices() throws {
    let driver = try Driver()
    var request = SchedulerRequest(prompt: prompt(20), maxNewTokens: 4)
    request.choices = 3
    request.wantsPromptLogits = true
    let ids = try driver.add(request)
    try driver.step()
    #expect(driver.logitPositions(of: ids[0]) == (0..<8).map { Int32($0) })
    _ = try driver.cancel(ids[0])
    var rows: [Int32] = []
    while driver.plan.entries.last?.id != ids[2] {
      try driver.step()
      rows += driver.logitPositions(of: ids[1])
    }
    #expect(rows.prefix(12) == ArraySlice((8..<20).map { Int32($0) }))
    #expect(driver.logitPositions(of: ids[2]) == [19])
  }

  @Test("Without output tokens only the prompt's rows are computed, and the request ends")
  func scoringOnly() throws {
    let driver = try Driver()
    let id = try driver.add(prompt(10), maxNewTokens: 0, promptLogits: true)
    #expect(try driver.step() == [Work(id, 8, samples: false)])
    #expect(try driver.step() == [Work(id, 2, samples: false)])
    #expect(driver.logitPositions(of: id) == [8])
    #expect(driver.outcomes == [.finished(.length)])
    #expect(driver.state(of: id) == .finished(.length))
  }
}
