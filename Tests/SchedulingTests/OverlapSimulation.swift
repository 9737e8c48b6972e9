import TestSupport
@testable import Scheduling

/// A scheduler whose steps overlap at random: mostly the next step is planned and run before the tokens of the one before
/// are told. `FakeModel` plays the device: it runs steps in order, with the tokens that it sampled itself.
struct OverlapSimulation: ~Copyable {
  struct Record {
    /// What the device knows, which may be a token more than the scheduler does.
    var history: History
    var limit: Int
    var isCancelled = false
    /// The device sampled its end, or the scheduler knows of it.
    var hasEnded = false
  }

  /// A step that was launched.
  struct Step {
    var plan: StepPlan
    var sampled: [SampledToken] = []
    /// What is to become of each entry, if nobody cancels it.
    var expected: [CommitOutcome] = []
  }

  let configuration: SchedulerConfiguration
  var scheduler: Scheduler
  var model: FakeModel
  var random: SeededGenerator
  var records: [SequenceID: Record] = [:]
  var live: [SequenceID] = []
  var bases: [[Int32]] = []
  /// Launched and not committed.
  var inFlight: Step?
  var sparePlan = StepPlan()
  /// By row of the last step's logits.
  var deviceTokens: [Int32] = []
  var outcomes: [CommitOutcome] = []
  var steps = 0
  var fedTokens = 0
  var overruns = 0
  var finished = 0

  init(seed: UInt64) throws {
    random = SeededGenerator(seed: seed)
    let blocks = 5 + random.below(40)
    var configuration = SchedulerConfiguration(
      blockCount: blocks, maxModelLength: 60 + random.below(blocks * 16),
      hashKey: BlockHashKey(low: seed, high: ~seed))
    configuration.maxNumSeqs = 1 + random.below(10)
    configuration.maxNumBatchedTokens = configuration.maxNumSeqs + random.below(60)
    configuration.maxLogitRows = configuration.maxNumSeqs + random.below(20)
    configuration.policy = random.chance(1, in: 2) ? .priority : .firstComeFirstServed
    configuration.watermarkBlocks = random.below(min(3, blocks))
    configuration.enablePrefixCaching = !random.chance(1, in: 6)
    if random.chance(1, in: 3) {
      configuration.groups = KVGroups.random(&random)
    }
    self.configuration = configuration
    scheduler = try Scheduler(configuration)
    model = FakeModel(configuration)
    for _ in 0..<4 {
      // Token 0 stands for what is not known yet: a block that is published under it would be found by others.
      bases.append((0..<120).map { _ in Int32(random.below(2)) })
    }
  }

  mutating func operate() throws {
    switch random.below(10) {
    case 0, 1: if live.count < 30 { try add() }
    case 2: if random.chance(1, in: 4) { try cancelOne() }
    default: try step()
    }
  }

  private mutating func add() throws {
    let base = random.below(bases.count)
    var prompt = Array(bases[base].prefix(1 + random.below(bases[base].count)))
    for _ in 0..<random.below(24) { prompt.append(Int32(random.below(2))) }
    var request = SchedulerRequest(
      prompt: prompt, maxNewTokens: random.below(random.chance(1, in: 3) ? 200 : 40))
    request.choices = random.chance(1, in: 4) ? 2 + random.below(4) : 1
    request.priority = random.below(4) - 1
    request.wantsPromptLogits = random.chance(1, in: 6)
    guard let ids = try? scheduler.add(request) else { return }
    let limit = min(prompt.count + request.maxNewTokens, configuration.maxModelLength)
    for id in ids {
      live.append(id)
      records[id] = Record(history: History(prompt: prompt, salt: nil), limit: limit)
    }
  }

  private mutating func cancelOne() throws {
    if live.isEmpty { return }
    let id = live[random.below(live.count)]
    let wasCancelled = records[id]?.isCancelled ?? true
    if scheduler.cancel(id) == wasCancelled { throw PlanFault("cancel does not know whether \(id) is alive") }
    records[id]?.isCancelled = true
    if case .finished = scheduler.state(of: id) { forget(id) }
    try scheduler.checkInvariants()
  }

  mutating func step() throws {
    var current = inFlight.take()
    if current == nil { current = try launch() }
    guard let step = current else {
      if !live.isEmpty { throw PlanFault("nothing to do with \(live.count) sequences alive") }
      return
    }
    if random.chance(1, in: 20) { try cancelOne() }
    var next: Step?
    if random.chance(4, in: 5) {
      scheduler.presume(step.plan)
      try scheduler.checkInvariants()
      next = try launch()
      if random.chance(1, in: 20) { try cancelOne() }
    }
    try commit(step)
    inFlight = next
    let statistics = scheduler.statistics
    if statistics.running + statistics.waiting != live.count { throw PlanFault("wrong statistics") }
  }

  /// Plans a step and runs it on the device, which samples at once.
  private mutating func launch() throws -> Step? {
    var plan = StepPlan()
    swap(&plan, &sparePlan)
    guard scheduler.next(into: &plan) else { return nil }
    steps += 1
    try scheduler.checkInvariants()
    var step = Step(plan: plan)
    var resolved = plan
    for (index, source) in plan.tokenSources.enumerated() where source >= 0 {
      resolved.tokens[index] = deviceTokens[Int(source)]
      fedTokens += 1
    }
    try model.run(resolved) { records[$0]?.history }
    deviceTokens = Array(repeating: 0, count: plan.logitRows.count)
    for (row, entry) in plan.entries.enumerated() {
      guard let record = records[entry.id] else { throw PlanFault("\(entry.id) was never there") }
      if record.isCancelled { throw PlanFault("\(entry.id) was cancelled before the step was planned") }
      var sampled = SampledToken(token: 1 + Int32(random.below(2)))
      if entry.samples { deviceTokens[entry.logitRange.upperBound - 1] = sampled.token }
      if record.hasEnded {
        // It was in flight when its end was sampled.
        overruns += 1
        step.sampled.append(sampled)
        step.expected.append(.discarded)
        continue
      }
      sampled.ends = entry.samples && random.chance(1, in: 30)
      sampled.isFailure = entry.samples && random.chance(1, in: 400)
      let completes = Int(plan.contextLengths[row]) == record.history.tokens.count
      if entry.samples != (completes && record.history.tokens.count < record.limit) {
        throw PlanFault("\(entry.id) samples wrongly")
      }
      // A device that finds nothing to draw from goes on with some token.
      if entry.samples { record.history.append(sampled.token) }
      let expected: CommitOutcome =
        if sampled.isFailure {
          .finished(.failed)
        } else if !completes {
          .computed
        } else if sampled.ends {
          .finished(.stopped)
        } else if record.history.tokens.count == record.limit {
          .finished(.length)
        } else {
          .sampled
        }
      if case .finished = expected { records[entry.id]?.hasEnded = true }
      step.sampled.append(sampled)
      step.expected.append(expected)
    }
    return step
  }

  private mutating func commit(_ step: Step) throws {
    scheduler.commit(step.plan, sampled: step.sampled, outcomes: &outcomes)
    for (row, entry) in step.plan.entries.enumerated() {
      let isOver = records[entry.id]?.isCancelled == true || !live.contains(entry.id)
      let expected = isOver ? .discarded : step.expected[row]
      if outcomes[row] != expected { throw PlanFault("\(entry.id): \(outcomes[row]), not \(expected)") }
      switch expected {
      case .computed, .sampled: break
      default: if live.contains(entry.id) { forget(entry.id) }
      }
    }
    try scheduler.checkInvariants()
    sparePlan = step.plan
  }

  private mutating func forget(_ id: SequenceID) {
    live.removeAll { $0 == id }
    records[id]?.hasEnded = true
    finished += 1
  }

  /// No more requests: everything alive must end.
  mutating func drain() throws {
    var bound = 10
    for id in live { bound += 3 * (records[id]?.limit ?? 0) }
    while !live.isEmpty || inFlight != nil {
      try step()
      bound -= 1
      if bound < 0 { throw PlanFault("\(live.count) sequences do not end") }
    }
    if !scheduler.isIdle || scheduler.statistics.usedBlocks != 0 { throw PlanFault("memory is lost") }
  }
}
