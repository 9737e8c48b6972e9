import TestSupport
@testable import Scheduling

/// A scheduler driven by random calls, with everything it says checked against the test's own books.
struct Simulation: ~Copyable {
  struct Record {
    var history: History
    var promptCount: Int
    var limit: Int
    var request: Int
    var isCancelled = false
  }

  /// One request's prompt logits: how often each position's row was committed.
  struct PromptRows {
    var wanted: Bool
    var counts: [Int]
    /// A choice of it was cancelled or failed, which may cost rows that had been computed.
    var isDisturbed = false
    var live: Int
  }

  let configuration: SchedulerConfiguration
  /// Most drafts proposed for a sequence; 0 for a scheduler without speculation.
  let maxDrafts: Int
  var acceptedDrafts = 0
  var scheduler: Scheduler
  var model: FakeModel
  var random: SeededGenerator
  var records: [SequenceID: Record] = [:]
  var live: [SequenceID] = []
  var promptRows: [Int: PromptRows] = [:]
  /// Two plans, used in turn or not, so that rows kept in them go stale now and then.
  var plan = StepPlan()
  var otherPlan = StepPlan()
  var outcomes: [CommitOutcome] = []
  var sampled: [SampledToken] = []
  var bases: [[Int32]] = []
  var requests = 0
  var steps = 0
  var finished = 0
  var refused = 0

  init(seed: UInt64) throws {
    random = SeededGenerator(seed: seed)
    let blocks = 4 + random.below(40)
    var configuration = SchedulerConfiguration(
      blockCount: blocks, maxModelLength: 60 + random.below(blocks * 16),
      hashKey: BlockHashKey(low: seed, high: ~seed))
    configuration.maxNumSeqs = 1 + random.below(10)
    configuration.maxNumBatchedTokens = configuration.maxNumSeqs + random.below(60)
    configuration.maxLogitRows = configuration.maxNumSeqs + random.below(20)
    configuration.longPrefillTokenThreshold = random.chance(1, in: 3) ? 1 + random.below(30) : 0
    configuration.policy = random.chance(1, in: 2) ? .priority : .firstComeFirstServed
    configuration.watermarkBlocks = random.below(min(3, blocks))
    configuration.enablePrefixCaching = !random.chance(1, in: 6)
    if random.chance(1, in: 2) {
      configuration.groups = KVGroups.random(&random)
    }
    self.configuration = configuration
    maxDrafts = random.chance(1, in: 3) ? 0 : 1 + random.below(20)
    scheduler = try Scheduler(configuration)
    model = FakeModel(configuration)
    for _ in 0..<4 {
      var base: [Int32] = []
      for _ in 0..<120 { base.append(Int32(random.below(3))) }
      bases.append(base)
    }
  }

  mutating func operate() throws {
    switch random.below(10) {
    case 0, 1: if live.count < 40 { try add() }
    case 2: if random.chance(1, in: 5) { try cancelOne() }
    default: try step()
    }
  }

  mutating func add() throws {
    let base = random.below(bases.count)
    var prompt = Array(bases[base].prefix(1 + random.below(bases[base].count)))
    for _ in 0..<random.below(24) { prompt.append(Int32(random.below(3))) }
    let maxNewTokens = random.below(random.chance(1, in: 3) ? 200 : 40)
    var request = SchedulerRequest(prompt: prompt, maxNewTokens: maxNewTokens)
    request.choices = random.chance(1, in: 4) ? 2 + random.below(4) : 1
    request.priority = random.below(4) - 1
    request.cacheSalt = [nil, nil, nil, "a", "b"][random.below(5)]
    request.wantsPromptLogits = random.chance(1, in: 6)
    let limit = min(prompt.count + request.maxNewTokens, configuration.maxModelLength)
    let length = max(prompt.count, limit - 1)
    let needed = configuration.groups.blocksAtOnce(for: length, piece: configuration.maxNumBatchedTokens)
    let fits = needed <= configuration.blockCount
    let isShort = prompt.count + min(request.maxNewTokens, 1) <= configuration.maxModelLength
    do {
      let ids = try scheduler.add(request)
      if !fits || !isShort { throw PlanFault("took a request that can never be served") }
      requests += 1
      for id in ids {
        live.append(id)
        records[id] = Record(
          history: History(prompt: prompt, salt: request.cacheSalt), promptCount: prompt.count, limit: limit,
          request: requests)
      }
      promptRows[requests] = PromptRows(
        wanted: request.wantsPromptLogits, counts: Array(repeating: 0, count: prompt.count - 1),
        live: ids.count)
    } catch let error as SchedulerError {
      refused += 1
      if fits && isShort { throw PlanFault("refused what it could serve: \(error)") }
    }
  }

  mutating func cancelOne() throws {
    if live.isEmpty { return }
    let id = live[random.below(live.count)]
    let wasCancelled = records[id]?.isCancelled ?? true
    if scheduler.cancel(id) == wasCancelled { throw PlanFault("cancel does not know whether \(id) is alive") }
    records[id]?.isCancelled = true
    disturb(id)
    if case .finished = scheduler.state(of: id) { try forget(id) }
    try scheduler.checkInvariants()
  }

  mutating func step() throws {
    try propose()
    let first = firstRunning()
    if random.chance(1, in: 2) { swap(&plan, &otherPlan) }
    guard scheduler.next(into: &plan) else {
      if !live.isEmpty { throw PlanFault("nothing to do with \(live.count) sequences alive") }
      return
    }
    steps += 1
    try scheduler.checkInvariants()
    if plan.tokens.count > configuration.maxNumBatchedTokens || plan.entries.count > configuration.maxNumSeqs
      || plan.logitRows.count > configuration.maxLogitRows
    {
      throw PlanFault("a step over its budget")
    }
    if let first, !plan.entries.contains(where: { $0.id == first }) {
      throw PlanFault("the first running sequence was left out")
    }
    try model.run(plan) { records[$0]?.history }
    while random.chance(1, in: 25) { try cancelOne() }
    if random.chance(1, in: 150) { try abandonStep() } else { try commitStep() }
    try scheduler.checkInvariants()
    let statistics = scheduler.statistics
    if statistics.running + statistics.waiting != live.count { throw PlanFault("wrong statistics") }
  }

  /// Proposes drafts for some sequences, whether they can use them or not.
  private mutating func propose() throws {
    if maxDrafts == 0 { return }
    for id in live where random.chance(2, in: 3) {
      let drafts = (0..<random.below(maxDrafts + 1)).map { _ in Int32(random.below(3)) }
      scheduler.propose(drafts[...], for: id)
    }
    try scheduler.checkInvariants()
  }

  /// The tokens the model "chooses" for an entry: random ones, mostly those drafted.
  private mutating func choose(_ entry: StepPlan.Entry) -> SampledToken {
    let drafts = entry.tokenStart + entry.tokenCount - entry.draftCount
    var sampled = SampledToken(token: 0)
    while true {
      sampled.token = Int32(random.below(3))
      if sampled.accepted < entry.draftCount, random.chance(1, in: 2) {
        sampled.token = plan.tokens[drafts + sampled.accepted]
      }
      sampled.ends = random.chance(1, in: 80)
      let isAccepted =
        sampled.accepted < entry.draftCount && plan.tokens[drafts + sampled.accepted] == sampled.token
      if sampled.ends || !isAccepted { return sampled }
      sampled.accepted += 1
    }
  }

  /// The running sequence nobody may overtake.
  private func firstRunning() -> SequenceID? {
    guard let slot = scheduler.running.first else { return nil }
    return scheduler.sequences[slot].id
  }

  private mutating func abandonStep() throws {
    scheduler.abandon(plan, outcomes: &outcomes)
    model.spoil(plan.slots)
    for (entry, outcome) in zip(plan.entries, outcomes) {
      let expected: CommitOutcome = records[entry.id]?.isCancelled == true ? .discarded : .finished(.failed)
      if outcome != expected { throw PlanFault("\(entry.id): \(outcome) after a failed step") }
      disturb(entry.id)
      try forget(entry.id)
    }
  }

  private mutating func commitStep() throws {
    sampled.removeAll(keepingCapacity: true)
    for row in plan.entries.indices { sampled.append(choose(plan.entries[row])) }
    scheduler.commit(plan, sampled: sampled, outcomes: &outcomes)
    for row in plan.entries.indices {
      let entry = plan.entries[row]
      guard let record = records[entry.id] else { throw PlanFault("\(entry.id) is not alive") }
      if !record.isCancelled { countPromptRows(entry, record) }
      let end = Int(plan.contextLengths[row]) - entry.draftCount
      let completes = end == record.history.tokens.count
      if entry.samples != (completes && end < record.limit) { throw PlanFault("\(entry.id) samples wrongly") }
      if end + entry.draftCount >= record.limit, entry.draftCount > 0 {
        throw PlanFault("\(entry.id) has drafts beyond its limit")
      }
      if entry.samples && !record.isCancelled {
        let drafts = entry.tokenStart + entry.tokenCount - entry.draftCount
        for draft in 0..<sampled[row].accepted { record.history.append(plan.tokens[drafts + draft]) }
        record.history.append(sampled[row].token)
        acceptedDrafts += sampled[row].accepted
      }
      let expected: CommitOutcome =
        if record.isCancelled {
          .discarded
        } else if !completes {
          .computed
        } else if entry.samples && sampled[row].ends {
          .finished(.stopped)
        } else if record.history.tokens.count == record.limit {
          .finished(.length)
        } else {
          .sampled
        }
      if outcomes[row] != expected { throw PlanFault("\(entry.id): \(outcomes[row]), not \(expected)") }
      switch expected {
      case .computed, .sampled:
        let agrees = scheduler.withTokens(of: entry.id) { $0.count == record.history.tokens.count }
        if agrees != true { throw PlanFault("\(entry.id) lost its history") }
      default:
        try forget(entry.id)
      }
    }
  }

  private mutating func countPromptRows(_ entry: StepPlan.Entry, _ record: Record) {
    let prompt = entry.samples ? entry.logitRange.dropLast(1 + entry.draftCount) : entry.logitRange
    for row in prompt {
      let position = Int(plan.positions[Int(plan.logitRows[row])])
      promptRows[record.request]?.counts[position] += 1
    }
  }

  private mutating func disturb(_ id: SequenceID) {
    if let request = records[id]?.request { promptRows[request]?.isDisturbed = true }
  }

  private mutating func forget(_ id: SequenceID) throws {
    guard let record = records.removeValue(forKey: id), let index = live.firstIndex(of: id) else {
      throw PlanFault("\(id) ended twice")
    }
    live.remove(at: index)
    finished += 1
    promptRows[record.request]?.live -= 1
    guard let rows = promptRows[record.request], rows.live == 0 else { return }
    promptRows[record.request] = nil
    let expected = rows.wanted ? 1 : 0
    for count in rows.counts where count > expected || (count < expected && !rows.isDisturbed) {
      throw PlanFault("a prompt position's logits were computed \(count) times")
    }
  }

  /// No more requests: everything alive must end, at most one token a step late.
  mutating func drain() throws {
    var bound = 0
    for id in live { bound += 2 * (records[id]?.limit ?? 0) }
    while !live.isEmpty {
      try step()
      bound -= 1
      if bound < 0 { throw PlanFault("\(live.count) sequences do not end") }
    }
    try step()
    if !scheduler.isIdle || scheduler.statistics.usedBlocks != 0 { throw PlanFault("memory is lost") }
  }
}
