internal import Scheduling

/// Runs one model for many requests: one thread, continuous batching, one stream of events a request.
///
/// Every method may be called from any thread. The model, its device and the scheduler belong to the engine's thread,
/// which builds them and is the only one to touch them.
package final class Engine: GenerationService {
  package let information: ServiceInformation
  private let options: EngineOptions
  private let limits: EngineLimits
  let mailbox: Mailbox
  /// Adapters ever loaded.
  let adapterCount = Monitor<Int32>(0)
  private let metrics: MetricsStore
  private let thread: JoinableThread

  /// Starts the thread, builds the model on it, and returns once it is ready for requests.
  /// - Throws: what `makeModel` threw, or `EngineError`.
  package static func start(
    _ options: EngineOptions, makeModel: @escaping @Sendable () throws -> any EngineModel
  ) throws -> Engine {
    let mailbox = Mailbox()
    let ready = Monitor<Result<(EngineLimits, MetricsStore), any Error>?>(nil)
    let thread = try JoinableThread {
      do {
        let model = try makeModel()
        let drafts = try options.speculation?.makeSource(model)
        var counters = EngineMetrics(maxModelLength: model.limits.maxModelLength)
        counters.speculation = options.speculation.map {
          SpeculationStatistics(maxDrafts: $0.settings.maxDrafts)
        }
        let metrics = MetricsStore(counters)
        var core = try Self.makeCore(options, model, drafts, mailbox, metrics)
        ready.update { $0 = .success((core.model.limits, metrics)) }
        core.run()
      } catch {
        ready.update { $0 = .failure(error) }
      }
    }
    let outcome = ready.wait(until: nil) { $0 }
    do {
      guard let outcome else { throw EngineError.noThread }
      let (limits, metrics) = try outcome.get()
      return Engine(options, limits, mailbox, metrics, thread)
    } catch {
      thread.join()
      throw error
    }
  }

  private static func makeCore(
    _ options: EngineOptions, _ model: any EngineModel, _ drafts: (any DraftSource)?, _ mailbox: Mailbox,
    _ metrics: MetricsStore
  ) throws(EngineError) -> EngineCore {
    do {
      return try EngineCore(options, model: model, drafts: drafts, mailbox: mailbox, metrics: metrics)
    } catch {
      throw .scheduler(error)
    }
  }

  private init(
    _ options: EngineOptions, _ limits: EngineLimits, _ mailbox: Mailbox, _ metrics: MetricsStore,
    _ thread: JoinableThread
  ) {
    self.options = options
    self.limits = limits
    self.mailbox = mailbox
    self.metrics = metrics
    self.thread = thread
    var information = ServiceInformation(
      vocabularySize: limits.vocabularySize, maxModelLength: limits.maxModelLength,
      blockSize: KVBlockPool.blockSize, blockCount: limits.blockCount, device: limits.device)
    information.cacheType = limits.cacheType
    self.information = information
  }

  /// An engine that nobody holds any more ends its requests and its thread, in its own time.
  deinit { mailbox.enter(.stopping) }

  package func submit(_ request: GenerationRequest) throws(SubmissionError) -> any GenerationStream {
    do throws(SubmissionError) {
      try validate(request)
      let (number, outbox) = try mailbox.submit(
        request, queueLimit: options.maxQueuedRequests, arrival: options.clock.now())
      return RequestStream(number: number, outbox: outbox, mailbox: mailbox)
    } catch {
      metrics.update { $0.counters.rejectedRequests += 1 }
      throw error
    }
  }

  private func validate(_ request: GenerationRequest) throws(SubmissionError) {
    let prompt = request.prompt
    if prompt.isEmpty { throw .emptyPrompt }
    try require("maxTokens", request.stop.maxTokens, request.embedding == nil ? 0...Int.max : 0...0)
    try require("minTokens", request.stop.minTokens, 0...Int.max)
    try require("choices", request.choices, request.embedding == nil ? 1...16_384 : 1...1)
    try require("logprobs", request.logprobs ?? 0, 0...Int.max)
    try require("promptLogprobs", request.promptLogprobs ?? 0, 0...Int.max)
    let (length, overflow) = prompt.count.addingReportingOverflow(request.stop.maxTokens)
    if overflow || length > limits.maxModelLength {
      let requested = min(request.stop.maxTokens, Int(Int32.max))
      throw .promptTooLong(tokens: prompt.count, requested: requested, maximum: limits.maxModelLength)
    }
    let vocabularySize = Int32(clamping: limits.vocabularySize)
    for index in 0..<prompt.count where prompt[index] < 0 || prompt[index] >= vocabularySize {
      throw .tokenOutOfRange(index: index, token: prompt[index], vocabularySize: limits.vocabularySize)
    }
    // The last token is never an input, so it needs no place.
    let needed = limits.blocksAtOnce(for: max(prompt.count, length - 1))
    if needed > limits.blockCount {
      throw .exceedsMemory(neededBlocks: needed, totalBlocks: limits.blockCount)
    }
  }

  private func require(_ field: String, _ value: Int, _ range: ClosedRange<Int>) throws(SubmissionError) {
    if range.contains(value) { return }
    let upper = range.upperBound == Int.max ? "" : " and at most \(range.upperBound)"
    throw .invalid(field: field, value: value, requirement: "at least \(range.lowerBound)\(upper)")
  }

  package func statistics() -> EngineStatistics {
    var statistics = metrics.statistics
    statistics.waitingRequests += mailbox.posted
    return statistics
  }

  /// Refuses new requests and waits for the present ones; those that are not over by the deadline are aborted.
  /// The engine keeps running and must still be stopped. Blocks; from any thread but the engine's.
  /// - Returns: whether all came to their own end.
  @discardableResult
  package func drain(timeoutMilliseconds: Int?) -> Bool {
    mailbox.enter(.draining)
    if mailbox.waitUntilEmpty(deadline: MonotonicClock.deadline(milliseconds: timeoutMilliseconds)) {
      return true
    }
    mailbox.post(.abortAll)
    _ = mailbox.waitUntilEmpty(deadline: nil)
    return false
  }

  /// Aborts what is running, ends the thread and waits for it. Idempotent; from any thread but the engine's.
  package func stop() {
    mailbox.enter(.stopping)
    thread.join()
  }
}

/// The metrics behind their lock.
final class MetricsStore: Sendable {
  private let metrics: Monitor<EngineMetrics>

  init(_ metrics: EngineMetrics) { self.metrics = Monitor(metrics) }

  func update(_ body: (inout EngineMetrics) -> Void) {
    metrics.withLock { body(&$0) }
  }

  var statistics: EngineStatistics { metrics.withLock { $0.statistics } }
}
