internal import Compute
internal import Models
internal import Scheduling

/// The engine's values and its loop. All of it belongs to the engine's thread.
///
/// ```
/// collect commands ─→ apply ─→ (draft) ─→ next(into: plan) ─→ forward ─→ sample ─→ commit ─→ report ─→ publish
///        ↑                                         └─ (masks) ───────↑                       │
///        └─ blocks while nothing is alive ───────────────────────────────────────────────────┘
/// ```
/// Where a device samples, the host's part of a step runs while the device computes the next one (`EngineCore+Overlap`).
/// Commands are applied between steps only. A sequence that is cancelled while a step carries it gets no more tokens, and
/// its memory is free with the end of that step. A warm loop allocates nothing for greedy requests without logprobs.
struct EngineCore: ~Copyable {
  let options: EngineOptions
  let mailbox: Mailbox
  let metrics: MetricsStore
  let model: any EngineModel
  var scheduler: Scheduler
  var sampler: Sampler
  /// nil without speculation.
  var speculation: SpeculationState?

  /// Works out the grammars' masks while the model computes; nil before the first grammar.
  var maskWorker: MaskWorker?
  /// Sequences with a grammar that the last step gave a token and that go on.
  var constrained: [LiveSequence] = []

  /// The step whose results are taken now, or next.
  var work: StepWork
  /// The one behind it.
  var nextWork: StepWork
  /// `work` has been launched, and its results have not been taken.
  var isInFlight = false
  /// Samples on the device; nil where the host does.
  let stepSampler: (any StepSampler)?
  var results: SamplingResults
  /// When the results of the last step were there.
  var lastComputed: UInt64 = 0
  var sampled: [SampledToken] = []
  var outcomes: [CommitOutcome] = []
  var commands: [Mailbox.Command] = []
  /// By `SequenceID.slot`.
  var sequences: [LiveSequence?] = []
  var requests: [UInt64: LiveRequest] = [:]
  /// Requests a step has carried.
  var startedCount = 0
  /// Taken away, but still in use.
  var leavingAdapters: Set<Int32> = []
  /// Requests with events to publish.
  var touched: [LiveRequest] = []

  var lastFinish: UInt64?
  /// Nanoseconds between two requests' ends, smoothed.
  var finishInterval = 0.0
  var timings = StepTimings()

  init(
    _ options: EngineOptions, model: any EngineModel, drafts: (any DraftSource)? = nil, mailbox: Mailbox,
    metrics: MetricsStore
  ) throws(SchedulerError) {
    let limits = model.limits
    var configuration = SchedulerConfiguration(
      blockCount: limits.blockCount, maxModelLength: limits.maxModelLength, hashKey: options.hashKey)
    configuration.maxNumBatchedTokens = limits.maxBatchTokens
    configuration.maxNumSeqs = limits.maxSequences
    configuration.maxLogitRows = limits.maxLogitRows
    configuration.groups = limits.groups
    configuration.policy = options.policy
    configuration.enablePrefixCaching = options.enablePrefixCaching
    configuration.longPrefillTokenThreshold = options.longPrefillTokenThreshold
    scheduler = try Scheduler(configuration)
    sampler = Sampler(vocabularySize: limits.vocabularySize)
    stepSampler = options.samplesOnHost ? nil : model.stepSampler
    results = stepSampler.map { SamplingResults($0.capacity) } ?? SamplingResults()
    work = StepWork(limits, stepSampler?.capacity)
    nextWork = StepWork(limits, stepSampler?.capacity)
    if let settings = options.speculation, let drafts {
      speculation = SpeculationState(settings, drafts)
    }
    self.options = options
    self.model = model
    self.mailbox = mailbox
    self.metrics = metrics
    sampled.reserveCapacity(limits.maxSequences)
    outcomes.reserveCapacity(limits.maxSequences)
    touched.reserveCapacity(limits.maxSequences)
  }

  /// Runs until it is told to stop or cannot go on. Every request has had its last event then.
  mutating func run() {
    while true {
      let phase = mailbox.collect(into: &commands, blocks: scheduler.isIdle && !isInFlight)
      apply()
      if phase == .stopping {
        close("it was shut down", .aborted)
        return
      }
      publish()
      do {
        try step()
      } catch {
        close("\(error)", .failed("\(error)"))
        return
      }
    }
  }

  /// Applies what has been posted without waiting: for who drives the steps himself.
  mutating func takeCommands() {
    _ = mailbox.collect(into: &commands, blocks: false)
    apply()
    publish()
  }

  /// Closes the mailbox, then ends every request: who reads a last event finds the engine stopped.
  private mutating func close(_ why: String, _ reason: FinishReason) {
    metrics.update { $0.counters.isAlive = false }
    let left = mailbox.close(why)
    let count: WritableKeyPath<EngineMetrics.FinishedCounts, UInt64> =
      reason == .aborted ? \.abort : \.error
    for request in requests.values {
      for id in request.ids { end(id, reason, countedAs: count) }
    }
    publish()
    for command in left {
      if case .adapter(.load(let path, _, let reply)) = command {
        reply.update { $0 = .failure(.adapter(path: path, reason: "the engine has stopped: \(why)")) }
      }
      guard case .submit(let submission) = command else { continue }
      let choices = submission.request.choices
      metrics.update { $0.finished[keyPath: count] += UInt64(choices) }
      var events = (0..<choices).map { TokenEvent.finished(choice: $0, reason: reason) }
      submission.outbox.publish(&events, closing: true)
    }
  }

  /// Applies the posted commands, oldest first.
  private mutating func apply() {
    if commands.isEmpty { return }
    for index in 0..<commands.count {
      switch commands[index] {
      case .submit(let submission): take(submission)
      case .finish(let number, let choice):
        if let request = requests[number], choice >= 0, choice < request.ids.count {
          end(request.ids[choice], .aborted, countedAs: \.stop)
        }
      case .cancel(let number):
        if let request = requests[number] { cancel(request) }
      case .abortAll: abortAll()
      case .adapter(let command): apply(command)
      }
    }
    commands.removeAll(keepingCapacity: true)
    mailbox.setWaiting(requests.count - startedCount)
    metrics.update { [statistics = scheduler.statistics] in $0.take(statistics) }
  }

  private mutating func take(_ submission: Mailbox.Submission) {
    let request = submission.request
    let live = LiveRequest(submission)
    var order = SchedulerRequest(prompt: request.prompt, maxNewTokens: request.stop.maxTokens)
    order.choices = request.choices
    order.priority = request.priority
    order.cacheSalt = request.cacheSalt
    order.adapter = request.adapter
    order.wantsPromptLogits = request.promptLogprobs != nil
    order.wantsPromptStates = request.embedding == .mean
    do {
      if !model.hasAdapter(request.adapter) || leavingAdapters.contains(request.adapter) {
        throw ModelError.adapter(path: "\(request.adapter)", reason: "it is not loaded any more")
      }
      live.ids = try scheduler.add(order)
    } catch {
      for choice in 0..<request.choices {
        live.staged.append(.finished(choice: choice, reason: .failed("\(error)")))
      }
      live.unfinished = 0
      metrics.update { $0.finished.error += UInt64(request.choices) }
      touch(live)
      return
    }
    requests[live.number] = live
    if request.grammar != nil, maskWorker == nil { maskWorker = MaskWorker() }
    countAdapter(live) { $0.waiting += 1 }
    var endTokens = request.stop.stopTokens
    if !request.stop.ignoreEndOfText { endTokens += request.stop.endOfTextTokens }
    let seed = request.sampling.seed ?? Self.seed(options.seed, request: live.number)
    for (choice, id) in live.ids.enumerated() {
      let sampling = SamplingState(
        parameters: request.sampling, seed: seed, choice: choice, prompt: request.prompt,
        endTokens: endTokens,
        minTokens: request.stop.minTokens, vocabularySize: sampler.vocabularySize)
      while sequences.count <= id.slot { sequences.append(nil) }
      sequences[id.slot] = LiveSequence(request: live, id: id, choice: choice, sampling: sampling)
    }
  }

  /// SplitMix64's finaliser over the engine's seed and the request's number.
  static func seed(_ engineSeed: UInt64, request number: UInt64) -> UInt64 {
    var value = engineSeed &+ (number &+ 1) &* 0x9E37_79B9_7F4A_7C15
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
  }

  mutating func cancel(_ request: LiveRequest) {
    for id in request.ids { end(id, .aborted, countedAs: \.abort) }
  }

  mutating func abortAll() {
    for request in requests.values { cancel(request) }
  }

  /// Ends a choice between steps, unless it is over already.
  private mutating func end(
    _ id: SequenceID, _ reason: FinishReason,
    countedAs count: WritableKeyPath<EngineMetrics.FinishedCounts, UInt64>
  ) {
    guard let sequence = live(id) else { return }
    scheduler.cancel(id)
    metrics.update { $0.finished[keyPath: count] += 1 }
    close(sequence, reason, now: options.clock.now())
  }

  /// The sequence with this id, unless it is over. Inlined: a call that borrows the engine in the middle of a mutation
  /// copies all of it.
  @inline(__always)
  func live(_ id: SequenceID) -> LiveSequence? {
    guard id.slot < sequences.count, let sequence = sequences[id.slot], sequence.id == id else { return nil }
    return sequence
  }
}
