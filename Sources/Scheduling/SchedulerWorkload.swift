/// A full scheduler with a stub in place of model and sampler, to measure what a step costs the host.
///
/// `step()` is everything the scheduler does for one step: decide, write the plan, take the results. The
/// caller brings the clock and counts allocations; once warm there are none, except where a request ends
/// and another comes.
package struct SchedulerWorkload: ~Copyable {
  package private(set) var scheduler: Scheduler
  package private(set) var plan = StepPlan()
  private var sampled: [SampledToken] = []
  private var outcomes: [CommitOutcome] = []
  private let promptTokens: Int
  private let outputTokens: Int
  private var seed: UInt64 = 1

  private init(_ scheduler: consuming Scheduler, promptTokens: Int, outputTokens: Int) {
    self.scheduler = scheduler
    self.promptTokens = promptTokens
    self.outputTokens = outputTokens
  }

  /// Starts `sequences` requests and computes their prompts.
  ///
  /// - Parameters:
  ///   - sequences: running at the same time.
  ///   - promptTokens: of each request; no two requests share a prefix.
  ///   - outputTokens: of each request; a request that ends is replaced by a new one in the same step.
  ///   - staggered: lets the first requests end one after the other instead of all at once.
  package static func start(
    sequences: Int, promptTokens: Int, outputTokens: Int, staggered: Bool = false
  ) throws(SchedulerError) -> SchedulerWorkload {
    let length = promptTokens + outputTokens
    let blocks = sequences * Scheduler.blocks(for: length)
    var configuration = SchedulerConfiguration(
      blockCount: blocks + blocks / 50 + 1, maxModelLength: length, hashKey: BlockHashKey(low: 1, high: 2))
    configuration.maxNumSeqs = sequences
    configuration.maxLogitRows = sequences
    configuration.maxNumBatchedTokens = max(sequences, 8192)
    var workload = SchedulerWorkload(
      try Scheduler(configuration), promptTokens: promptTokens, outputTokens: outputTokens)
    for index in 0..<sequences {
      let staggeredTokens = 1 + (index + 1) * outputTokens / (sequences + 1)
      try workload.add(outputTokens: staggered ? staggeredTokens : outputTokens)
    }
    let prefillSteps = 1 + sequences * promptTokens / configuration.maxNumBatchedTokens
    for _ in 0..<prefillSteps { try workload.step() }
    return workload
  }

  /// Plans and commits one step.
  ///
  /// - Returns: the tokens it computed.
  @discardableResult
  package mutating func step() throws(SchedulerError) -> Int {
    guard scheduler.next(into: &plan) else { return 0 }
    sampled.removeAll(keepingCapacity: true)
    for _ in 0..<plan.entries.count {
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      sampled.append(SampledToken(token: Int32(truncatingIfNeeded: seed >> 48)))
    }
    scheduler.commit(plan, sampled: sampled, outcomes: &outcomes)
    for index in 0..<outcomes.count where outcomes[index] == .finished(.length) {
      try add(outputTokens: outputTokens)
    }
    return plan.tokens.count
  }

  private mutating func add(outputTokens: Int) throws(SchedulerError) {
    var prompt: [Int32] = []
    prompt.reserveCapacity(promptTokens)
    for _ in 0..<promptTokens {
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      prompt.append(Int32(truncatingIfNeeded: seed >> 48))
    }
    _ = try scheduler.add(SchedulerRequest(prompt: prompt, maxNewTokens: outputTokens))
  }
}
