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

  /// Medians over the measured steps: other programs on the machine disturb some of them.
  package struct Report: Sendable, Equatable {
    package var sequences: Int
    package var steps: Int
    /// Microseconds a step.
    package var schedule: Double
    package var model: Double
    package var sample: Double
    package var postprocess: Double
    /// All but the model.
    package var host: Double
    /// The slowest step's host time, in microseconds.
    package var worst: Double
    /// Calls of `malloc` and its kin a step; nil unless `Scripts/malloc-count.c` is preloaded.
    package var allocationsPerStep: Double?
  }

  /// Runs on the calling thread.
  /// - Precondition: at least one sequence and one step.
  package func run() throws -> Report {
    let batchTokens = max(2048, sequences)
    let prefillSteps = sequences * promptTokens / batchTokens + 2
    // No sequence may end before the last measured step.
    let length = promptTokens + prefillSteps + warmUpSteps + steps + 8
    let limits = EngineLimits(
      vocabularySize: vocabularySize, maxModelLength: length,
      blockCount: sequences * (length / KVBlockPool.blockSize + 2), maxBatchTokens: batchTokens,
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
    for _ in 0..<prefillSteps + warmUpSteps { try step(&core, outboxes) }

    var phases = [[UInt64]](repeating: [], count: 5)
    for index in phases.indices { phases[index].reserveCapacity(steps) }
    var allocations: UInt64 = 0
    let counter = AllocationCounter()
    for _ in 0..<steps {
      core.timings = StepTimings()
      let allocated = counter?.count ?? 0
      try core.step()
      allocations += (counter?.count ?? 0) - allocated
      let timings = core.timings
      for (phase, time) in [
        timings.schedule, timings.model, timings.sample, timings.postprocess,
        timings.schedule &+ timings.sample &+ timings.postprocess,
      ].enumerated() {
        phases[phase].append(time)
      }
      read(outboxes)
    }
    let sorted = phases.map { $0.sorted() }
    func median(_ phase: Int) -> Double { Double(sorted[phase][steps / 2]) / 1000 }
    return Report(
      sequences: sequences, steps: steps, schedule: median(0), model: median(1), sample: median(2),
      postprocess: median(3), host: median(4), worst: Double(sorted[4][steps - 1]) / 1000,
      allocationsPerStep: counter.map { _ in Double(allocations) / Double(steps) })
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
