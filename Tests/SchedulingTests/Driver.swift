import Testing

@testable import Scheduling

/// One entry of a plan, as tests write it down.
struct Work: Equatable, CustomStringConvertible {
  var id: SequenceID
  var count: Int
  var samples: Bool

  init(_ id: SequenceID, _ count: Int, samples: Bool = true) {
    self.id = id
    self.count = count
    self.samples = samples
  }

  var description: String { "#\(id.serial): \(count)\(samples ? " and a sample" : "")" }
}

/// A scheduler in the hands of a test. Every plan is run by a `FakeModel`, and the invariants are checked
/// around it, so that each behaviour test is a test of the memory as well.
final class Driver {
  var scheduler: Scheduler
  var plan = StepPlan()
  var outcomes: [CommitOutcome] = []
  private var model: FakeModel
  private var histories: [SequenceID: History] = [:]

  init(blocks: Int = 64, _ change: (inout SchedulerConfiguration) -> Void = { _ in }) throws {
    var configuration = SchedulerConfiguration(
      blockCount: blocks, maxModelLength: 4096, hashKey: BlockHashKey(low: 1, high: 2))
    configuration.maxNumSeqs = 8
    configuration.maxLogitRows = 8
    configuration.maxNumBatchedTokens = 64
    configuration.watermarkBlocks = 0
    change(&configuration)
    scheduler = try Scheduler(configuration)
    model = FakeModel(configuration)
  }

  var statistics: SchedulerStatistics { scheduler.statistics }
  var isIdle: Bool { scheduler.isIdle }

  func add(_ request: SchedulerRequest) throws -> [SequenceID] {
    let ids = try scheduler.add(request)
    for id in ids { histories[id] = History(prompt: request.prompt, salt: request.cacheSalt) }
    return ids
  }

  func add(
    _ prompt: [Int32], maxNewTokens: Int = 100, priority: Int = 0, salt: String? = nil,
    promptLogits: Bool = false
  ) throws -> SequenceID {
    var request = SchedulerRequest(prompt: prompt, maxNewTokens: maxNewTokens)
    request.priority = priority
    request.cacheSalt = salt
    request.wantsPromptLogits = promptLogits
    return try #require(try add(request).first)
  }

  func tokens(of id: SequenceID) -> [Int32] { histories[id]?.tokens ?? [] }

  /// Plans a step and runs it in the fake model.
  func next() throws -> [Work] {
    let isPlanned = scheduler.next(into: &plan)
    #expect(isPlanned == !plan.isEmpty)
    try scheduler.checkInvariants()
    if isPlanned { try model.run(plan) { histories[$0] } }
    return plan.entries.map { Work($0.id, $0.tokenCount, samples: $0.samples) }
  }

  /// Commits the step under way; `token` is sampled everywhere behind up to `accepted` drafts, and ends the
  /// sequences of `ending`.
  func commit(token: Int32 = 1, ending: [SequenceID] = [], accepted: Int = 0) throws {
    let sampled = plan.entries.map {
      SampledToken(token: token, ends: ending.contains($0.id), accepted: min(accepted, $0.draftCount))
    }
    scheduler.commit(plan, sampled: sampled, outcomes: &outcomes)
    for (index, entry) in plan.entries.enumerated() where entry.samples && outcomes[index] != .discarded {
      let drafts = entry.tokenStart + entry.tokenCount - entry.draftCount
      for draft in 0..<sampled[index].accepted { histories[entry.id]?.append(plan.tokens[drafts + draft]) }
      histories[entry.id]?.append(token)
    }
    try scheduler.checkInvariants()
  }

  @discardableResult
  func step(token: Int32 = 1, ending: [SequenceID] = []) throws -> [Work] {
    let work = try next()
    if !work.isEmpty { try commit(token: token, ending: ending) }
    return work
  }

  func cancel(_ id: SequenceID) throws -> Bool {
    let wasAlive = scheduler.cancel(id)
    try scheduler.checkInvariants()
    return wasAlive
  }

  func state(of id: SequenceID) -> SequenceState? { scheduler.state(of: id) }

  /// The blocks of an entry of the plan in the first group, in order.
  func blocks(of id: SequenceID) -> [Int32] {
    guard let row = plan.entries.firstIndex(where: { $0.id == id }) else { return [] }
    let count = (Int(plan.contextLengths[row]) + 15) / 16
    return (0..<count).map { plan.blockTables[row * plan.groupCount * plan.blockTableStride + $0] }
  }

  /// The positions whose logits an entry of the plan wants.
  func logitPositions(of id: SequenceID) -> [Int32] {
    guard let entry = plan.entries.first(where: { $0.id == id }) else { return [] }
    return entry.logitRange.map { plan.positions[Int(plan.logitRows[$0])] }
  }
}

/// Prompts of different first tokens share nothing.
func prompt(_ count: Int, first: Int32 = 0) -> [Int32] { (0..<count).map { first * 1000 + Int32($0) } }
