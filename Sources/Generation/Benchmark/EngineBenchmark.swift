internal import Compute
internal import Glibc
internal import Scheduling

/// Measures the engine's own work in a step: everything but the model. Backs `gpuinfer bench engine`.
///
/// The model answers at once with constant logits of a small vocabulary, so that scheduling, sampling's overhead,
/// events and statistics are what is left. All sequences decode during the measured steps.
package struct EngineBenchmark: Sendable {
  package var sequences = 256
  package var promptTokens = 64
  package var warmUpSteps = 100
  package var steps = 2000
  package var vocabularySize = 32
  /// 0 decodes greedily; anything else adds the sampler's race over `vocabularySize` tokens.
  package var temperature: Float = 0

  package init() {}

  /// Averages over the measured steps.
  package struct Report: Sendable, Equatable {
    package var sequences: Int
    package var steps: Int
    /// Microseconds a step.
    package var schedule: Double
    package var model: Double
    package var sample: Double
    package var postprocess: Double
    /// The slowest step's host time, in microseconds.
    package var worst: Double
    /// Calls of `malloc` and its kin a step; nil unless `Scripts/malloc-count.c` is preloaded.
    package var allocationsPerStep: Double?

    /// Microseconds of host work a step.
    package var host: Double { schedule + sample + postprocess }
  }

  /// Runs on the calling thread.
  package func run() throws -> Report {
    let length = promptTokens + warmUpSteps + steps + 8
    let limits = EngineLimits(
      vocabularySize: vocabularySize, maxModelLength: length,
      blockCount: sequences * (length / KVBlockPool.blockSize + 2), maxBatchTokens: max(2048, sequences),
      maxSequences: sequences, maxLogitRows: max(256, sequences), device: "stub")
    let mailbox = Mailbox()
    var core = try EngineCore(
      EngineOptions(), model: ConstantModel(limits), mailbox: mailbox,
      metrics: MetricsStore(EngineMetrics(maxModelLength: length)))
    var outboxes: [Outbox] = []
    for index in 0..<sequences {
      // Prompts differ from the first token on, so that nothing comes from the prefix cache.
      let prompt = (0..<promptTokens).map { Int32(($0 + index) % vocabularySize) }
      var request = GenerationRequest(
        id: "bench-\(index)", prompt: prompt, stop: StopConditions(maxTokens: length - promptTokens))
      request.sampling.temperature = temperature
      request.sampling.seed = UInt64(index)
      let (_, outbox) = try mailbox.submit(request, queueLimit: .max, arrival: MonotonicClock.systemTime())
      outboxes.append(outbox)
    }
    core.takeCommands()
    let prefillSteps = sequences * promptTokens / limits.maxBatchTokens + 2
    for _ in 0..<prefillSteps + warmUpSteps { try step(&core, outboxes) }

    core.timings = StepTimings()
    var worst: UInt64 = 0
    var allocations: UInt64 = 0
    let counter = AllocationCounter()
    for _ in 0..<steps {
      let before = core.timings
      let allocated = counter?.count ?? 0
      try core.step()
      allocations += (counter?.count ?? 0) - allocated
      worst = max(worst, core.timings.host - before.host)
      read(outboxes)
    }
    let timings = core.timings
    func microseconds(_ total: UInt64) -> Double { Double(total) / 1000 / Double(max(timings.steps, 1)) }
    return Report(
      sequences: sequences, steps: timings.steps, schedule: microseconds(timings.schedule),
      model: microseconds(timings.model), sample: microseconds(timings.sample),
      postprocess: microseconds(timings.postprocess), worst: Double(worst) / 1000,
      allocationsPerStep: counter.map { _ in Double(allocations) / Double(max(timings.steps, 1)) })
  }

  private func step(_ core: inout EngineCore, _ outboxes: [Outbox]) throws(EngineFailure) {
    try core.step()
    read(outboxes)
  }

  /// What the clients' threads do, outside the measured time.
  private func read(_ outboxes: [Outbox]) {
    for outbox in outboxes { _ = outbox.next(until: 0) }
  }
}

extension StepTimings {
  fileprivate var host: UInt64 { schedule &+ sample &+ postprocess }
}

/// Logits that never change: token 1 is the most likely.
private final class ConstantModel: EngineModel {
  let limits: EngineLimits
  private let storage: Storage

  init(_ limits: EngineLimits) {
    self.limits = limits
    let count = limits.maxLogitRows * limits.vocabularySize
    let values = UnsafeMutablePointer<Float>.allocate(capacity: count)
    for index in 0..<count { unsafe values[index] = index % limits.vocabularySize == 1 ? 1 : 0 }
    unsafe storage = Storage(
      DeviceBuffer(adopting: values, byteCount: count * 4) { base in unsafe base.deallocate() })
  }

  func forward(_ plan: borrowing StepPlan) throws(KernelError) -> LogitRows {
    unsafe LogitRows(
      UnsafePointer(storage.address.assumingMemoryBound(to: Float.self)), count: plan.logitRows.count,
      vocabularySize: limits.vocabularySize)
  }
}

/// The count of allocations, from a library that interposes `malloc` and exports `gpi_malloc_count`.
@safe
private struct AllocationCounter {
  private typealias Function = @convention(c) () -> UInt64
  private let function: Function

  init?() {
    guard let symbol = unsafe dlsym(nil, "gpi_malloc_count") else { return nil }
    unsafe function = unsafeBitCast(symbol, to: Function.self)
  }

  var count: UInt64 { function() }
}
