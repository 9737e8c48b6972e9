import Testing

@testable import Scheduling

@Suite struct StepOrderTests {
  @Test("Decodes come first, also before an older prompt that is still being computed")
  func decodeFirst() throws {
    let driver = try Driver { $0.longPrefillTokenThreshold = 20 }
    let long = try driver.add(prompt(100, first: 1))
    let short = try driver.add(prompt(5, first: 2))
    #expect(try driver.step() == [Work(long, 20, samples: false), Work(short, 5)])
    #expect(try driver.step() == [Work(short, 1), Work(long, 20, samples: false)])
  }

  @Test("Decodes go on although a more urgent prompt could use the whole step")
  func decodeBesideUrgentPrompt() throws {
    let driver = try Driver { $0.policy = .priority }
    let lazy = try driver.add(prompt(5, first: 1), priority: 9)
    try driver.step()
    let urgent = try driver.add(prompt(150, first: 2), priority: 0)
    for _ in 0..<2 { #expect(try driver.step() == [Work(lazy, 1), Work(urgent, 63, samples: false)]) }
    #expect(try driver.step() == [Work(lazy, 1), Work(urgent, 24)])
  }

  @Test("A prompt is computed in pieces that use the token budget to the last token")
  func exactBudget() throws {
    let driver = try Driver()
    let decoding = try driver.add(prompt(10, first: 1))
    try driver.step()
    let first = try driver.add(prompt(150, first: 2))
    let second = try driver.add(prompt(30, first: 3))
    #expect(try driver.step() == [Work(decoding, 1), Work(first, 63, samples: false)])
    #expect(try driver.step() == [Work(decoding, 1), Work(first, 63, samples: false)])
    #expect(try driver.step() == [Work(decoding, 1), Work(first, 24), Work(second, 30)])
    #expect(driver.plan.tokens.count == 55)
    #expect(try driver.step() == [Work(decoding, 1), Work(first, 1), Work(second, 1)])
  }

  @Test("No piece of a prompt is longer than the threshold, and the rest of the budget goes to others")
  func threshold() throws {
    let driver = try Driver { $0.longPrefillTokenThreshold = 24 }
    let ids = try (1...3).map { try driver.add(prompt(40, first: $0)) }
    let first = [
      Work(ids[0], 24, samples: false), Work(ids[1], 24, samples: false), Work(ids[2], 16, samples: false),
    ]
    #expect(try driver.step() == first)
    #expect(try driver.step() == [Work(ids[0], 16), Work(ids[1], 16), Work(ids[2], 24)])
  }

  @Test(
    "A prompt of any length is computed whole, each position once", arguments: [1, 15, 16, 17, 64, 65, 200])
  func everyLength(count: Int) throws {
    let driver = try Driver()
    let id = try driver.add(prompt(count), maxNewTokens: 2)
    var positions: [Int32] = []
    while true {
      let work = try driver.step()
      positions += driver.plan.positions
      if work.last?.samples == true { break }
    }
    #expect(positions == (0..<Int32(count)).map { $0 })
    #expect(driver.state(of: id) == .running)
  }

  @Test("No more sequences run than maxNumSeqs, and the next one starts when one ends")
  func sequenceLimit() throws {
    let driver = try Driver { $0.maxNumSeqs = 2 }
    let ids = try (1...3).map { try driver.add(prompt(4, first: $0)) }
    #expect(try driver.step(ending: [ids[0]]) == [Work(ids[0], 4), Work(ids[1], 4)])
    #expect(try driver.step() == [Work(ids[1], 1), Work(ids[2], 4)])
  }

  @Test("Requests start strictly in order: a small one does not overtake a large one that waits for memory")
  func noOvertaking() throws {
    let driver = try Driver(blocks: 8)
    let running = try driver.add(prompt(50, first: 1), maxNewTokens: 10)
    try driver.step()
    let large = try driver.add(prompt(100, first: 2), maxNewTokens: 10)
    let small = try driver.add(prompt(3, first: 3), maxNewTokens: 10)
    #expect(try driver.step() == [Work(running, 1)])
    #expect(driver.statistics.waitingForCapacity == 2)
    _ = try driver.cancel(running)
    #expect(try driver.step() == [Work(large, 64, samples: false)])
    #expect(try driver.step() == [Work(large, 36), Work(small, 3)])
  }

  @Test("The priority policy starts urgent requests first, and equal ones by arrival")
  func priorities() throws {
    let driver = try Driver {
      $0.policy = .priority
      $0.maxNumSeqs = 1
    }
    let order = [(5, 1), (0, 2), (-3, 3), (0, 4), (5, 5)]
    let ids = try order.map {
      try driver.add(prompt(4, first: Int32($0.1)), maxNewTokens: 1, priority: $0.0)
    }
    var started: [SequenceID] = []
    for _ in ids { started += try driver.step().map(\.id) }
    #expect(started == [ids[2], ids[1], ids[3], ids[0], ids[4]])
  }

  @Test("First come, first served does not look at priorities")
  func ignoredPriorities() throws {
    let driver = try Driver { $0.maxNumSeqs = 1 }
    let ids = try (1...3).map { try driver.add(prompt(4, first: $0), maxNewTokens: 1, priority: Int(-$0)) }
    var started: [SequenceID] = []
    for _ in ids { started += try driver.step().map(\.id) }
    #expect(started == ids)
  }

  @Test("An admission leaves the watermark free, unless nothing else runs")
  func watermark() throws {
    let driver = try Driver(blocks: 10) { $0.watermarkBlocks = 3 }
    let first = try driver.add(prompt(60, first: 1), maxNewTokens: 100)
    let second = try driver.add(prompt(60, first: 2), maxNewTokens: 100)
    let third = try driver.add(prompt(140, first: 3), maxNewTokens: 10)
    #expect(try driver.step() == [Work(first, 60)])
    #expect(driver.state(of: second) == .waiting)
    _ = try driver.cancel(first)
    #expect(try driver.step() == [Work(second, 60)])
    _ = try driver.cancel(second)
    #expect(try driver.step() == [Work(third, 64, samples: false)])
  }

  @Test("Blocks that a running prompt will still need are not given to a new one")
  func promisedBlocks() throws {
    let driver = try Driver(blocks: 10) { $0.longPrefillTokenThreshold = 16 }
    let first = try driver.add(prompt(100, first: 1), maxNewTokens: 10)
    let second = try driver.add(prompt(60, first: 2), maxNewTokens: 10)
    for _ in 0..<6 { #expect(try driver.step() == [Work(first, 16, samples: false)]) }
    #expect(try driver.step() == [Work(first, 4)])
    #expect(driver.state(of: second) == .waiting)
    #expect(driver.statistics.preemptions == 0)
  }

  @Test("Equal calls give equal plans")
  func deterministic() throws {
    let drivers = try [1, 2].map { seed in
      try Driver(blocks: 12) { $0.hashKey = BlockHashKey(low: UInt64(seed), high: 0) }
    }
    for driver in drivers {
      for index in 0..<6 {
        _ = try driver.add(prompt(20 + index * 7, first: Int32(index % 3)), maxNewTokens: 40)
      }
    }
    for _ in 0..<150 {
      let left = try drivers[0].step()
      #expect(try drivers[1].step() == left)
      #expect(drivers[0].plan.blockTables == drivers[1].plan.blockTables)
    }
  }
}
