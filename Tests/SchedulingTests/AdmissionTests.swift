import Testing

@testable import Scheduling

@Suite struct AdmissionTests {
  @Test("A request longer than the whole pool is refused when it comes, with the numbers")
  func neverFits() throws {
    let driver = try Driver(blocks: 4)
    #expect(throws: SchedulerError.exceedsMemory(neededBlocks: 5, totalBlocks: 4)) {
      try driver.add(prompt(40), maxNewTokens: 26)
    }
    // The last sampled token needs no place: 40 + 25 - 1 = 64 positions are four blocks.
    let id = try driver.add(prompt(40), maxNewTokens: 25)
    while driver.state(of: id) != .finished(.length) { try driver.step() }
    #expect(driver.tokens(of: id).count == 65)
    #expect(throws: SchedulerError.exceedsMemory(neededBlocks: 5, totalBlocks: 4)) {
      try driver.add(prompt(65), maxNewTokens: 0)
    }
  }

  @Test("A prompt must leave room for one token, or none if none is asked for")
  func promptLength() throws {
    let driver = try Driver { $0.maxModelLength = 20 }
    #expect(throws: SchedulerError.promptTooLong(tokens: 20, maximum: 19)) {
      try driver.add(prompt(20), maxNewTokens: 1)
    }
    #expect(throws: SchedulerError.promptTooLong(tokens: 21, maximum: 20)) {
      try driver.add(prompt(21), maxNewTokens: 0)
    }
    _ = try driver.add(prompt(20), maxNewTokens: 0)
    _ = try driver.add(prompt(19), maxNewTokens: Int.max)
  }

  @Test("Nonsense is refused by name, and leaves no trace")
  func nonsense() throws {
    let driver = try Driver()
    #expect(throws: SchedulerError.emptyPrompt) { try driver.add([]) }
    var request = SchedulerRequest(prompt: [1], maxNewTokens: -1)
    #expect(throws: SchedulerError.invalidRequest(field: "maxNewTokens", value: -1, requirement: "0 or more"))
    {
      try driver.add(request)
    }
    request.maxNewTokens = 1
    for choices in [0, -1, 16385, Int.max] {
      request.choices = choices
      let expected = SchedulerError.invalidRequest(
        field: "choices", value: choices, requirement: "1 ... 16384")
      #expect(throws: expected) { try driver.add(request) }
    }
    #expect(driver.isIdle)
    #expect(try driver.step() == [])
  }

  @Test("Each limit of a configuration is checked, and its message names it")
  func configurations() {
    let valid = SchedulerConfiguration(blockCount: 100, maxModelLength: 1000)
    #expect(throws: Never.self) { try valid.validate() }
    #expect(valid.watermarkBlocks == 1)
    let changes: [(String, (inout SchedulerConfiguration) -> Void)] = [
      ("blockCount", { $0.blockCount = 0 }),
      ("blockCount", { $0.blockCount = Int(Int32.max) / 16 + 1 }),
      ("maxModelLength", { $0.maxModelLength = 0 }),
      ("maxNumSeqs", { $0.maxNumSeqs = 0 }),
      ("maxNumBatchedTokens", { $0.maxNumBatchedTokens = 255 }),
      ("maxLogitRows", { $0.maxLogitRows = 255 }),
      ("longPrefillTokenThreshold", { $0.longPrefillTokenThreshold = -1 }),
      ("watermarkBlocks", { $0.watermarkBlocks = 100 }),
    ]
    for (field, change) in changes {
      var configuration = valid
      change(&configuration)
      let error = #expect(throws: SchedulerError.self) { try configuration.validate() }
      #expect(error?.description.contains("scheduler configuration: \(field) is ") == true)
      #expect(throws: SchedulerError.self) { _ = try Scheduler(configuration) }
    }
  }

  @Test("Messages say what is wrong and what to do")
  func messages() {
    #expect(
      SchedulerError.exceedsMemory(neededBlocks: 5, totalBlocks: 4).description
        == """
        request: prompt and output need 5 KV blocks of 16 tokens, the pool has 4; shorten the prompt, ask \
        for fewer output tokens, or give the pool more memory
        """)
    #expect(
      SchedulerError.promptTooLong(tokens: 9, maximum: 8).description
        == "request: the prompt has 9 tokens; at most 8 leave room for the output")
    #expect(SchedulerError.emptyPrompt.description.contains("at least one"))
  }
}
