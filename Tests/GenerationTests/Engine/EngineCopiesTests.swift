import Checkpoints
import Compute
import Grammars
import KernelBackend
import Models
import Scheduling
import TestSupport
import Testing

@testable import Generation

/// What a step sends to the device goes there in one copy, and no step asks the device for memory.
@Suite struct EngineCopiesTests {
  /// Copies from the host to the device of each step, in order, and what else there was to see.
  private final class Log: Sendable {
    let copies = Monitor<[Int]>([])
    let recordedShapes = Monitor<Int>(0)
    /// Since the model was there.
    let allocations = Monitor<Int>(0)
    var counts: [Int] { copies.withLock { $0 } }
  }

  /// A model on the emulated device, with its copies counted.
  private final class CountedModel: EngineModel, StepSampler {
    private let model: GraphModel
    private let backend: KernelBackend
    private let log: Log
    private var before = 0
    private let allocationsAtStart: Int

    init(_ model: GraphModel, _ backend: KernelBackend, _ log: Log) {
      self.model = model
      self.backend = backend
      self.log = log
      allocationsAtStart = backend.allocations
    }

    private func note() {
      log.copies.update { [count = backend.sentCopies - before] in $0.append(count) }
      log.recordedShapes.update { [shapes = model.graph.recordedShapes] in $0 = shapes }
      log.allocations.update { [count = backend.allocations - allocationsAtStart] in $0 = count }
    }

    var limits: EngineLimits { model.limits }
    var capacity: SamplingCapacity { model.capacity }
    var stepSampler: (any StepSampler)? { self }

    func forward(_ plan: borrowing StepPlan) throws(KernelError) -> LogitRows {
      before = backend.sentCopies
      defer { note() }
      return try model.forward(plan)
    }

    func launch(_ plan: borrowing StepPlan, sampling batch: SamplingBatch?) throws(KernelError) {
      before = backend.sentCopies
      try model.launch(plan, sampling: batch)
    }

    func sample(_ batch: borrowing SamplingBatch) throws(KernelError) {
      try model.sample(batch)
      note()
    }

    func collect(_ batch: borrowing SamplingBatch, into results: inout SamplingResults) throws(KernelError) {
      try model.collect(batch, into: &results)
    }

    func logits(ofRows rows: [Int32]) throws(KernelError) -> LogitRows { try model.logits(ofRows: rows) }
  }

  private func copies(
    _ requests: [GenerationRequest], policy: KVRetention? = nil,
    _ change: (inout EngineOptions) -> Void = { _ in }
  ) throws -> (counts: [Int], recordedShapes: Int) {
    var options = EngineOptions()
    options.validateEachStep = true
    change(&options)
    var limits = ModelLimits(maxBatchTokens: 24, maxSequences: 6, maxModelLength: 96, maxLogitRows: 16)
    limits.policy = policy
    let log = Log()
    let engine = try Engine.start(options) { [limits] in
      let backend = try KernelBackend(.emulated)
      let model = try GraphModel(
        checkpoint: try Checkpoint.open(Fixtures.path("tiny/llama")), backend: backend, limits: limits,
        blockCount: 40)
      return CountedModel(model, backend, log)
    }
    defer { engine.stop() }
    for stream in try requests.map({ try engine.submit($0) }) { #expect(!Answer(stream).tokens.isEmpty) }
    #expect(log.allocations.withLock { $0 } == 0)
    return (log.counts, log.recordedShapes.withLock { $0 })
  }

  /// Prompts in pieces beside decodes, everything that changes logits, and log-probabilities.
  private var requests: [GenerationRequest] {
    (0..<7).map { index in
      var request = GenerationRequest(
        (0..<Int32(3 + 9 * index)).map { 1 + $0 * 7 % 90 }, max: 6 + index, seed: UInt64(index),
        temperature: index % 2 == 0 ? 0 : 1)
      switch index {
      case 1: request.sampling.frequencyPenalty = 0.5
      case 2: request.sampling.logitBias = [7: 3, 9: -100]
      case 3: request.logprobs = 4
      case 4: request.sampling.allowedTokens = Array(20..<70)
      case 5: request.sampling.topK = 5
      default: break
      }
      return request
    }
  }

  @Test(arguments: [true, false])
  func `a step with all that sampling needs is one copy, computed or replayed`(_ overlaps: Bool) throws {
    let (counts, recordedShapes) = try copies(requests) { $0.overlapsSteps = overlaps }
    #expect(counts.count > 12)
    #expect(counts.allSatisfy { $0 == 1 }, "\(counts)")
    #expect(recordedShapes > 0)
  }

  @Test func `a step that the host samples is one copy`() throws {
    let (counts, recordedShapes) = try copies(requests) { $0.samplesOnHost = true }
    #expect(counts.count > 12 && counts.allSatisfy { $0 == 1 }, "\(counts)")
    #expect(recordedShapes > 0)
  }

  @Test func `the angles of streams are part of the copy`() throws {
    let (counts, _) = try copies(requests, policy: KVRetention(sinks: 2, window: 20))
    #expect(counts.count > 12 && counts.allSatisfy { $0 == 1 }, "\(counts)")
  }

  /// Masks are made while the device computes, so that the settings which hold them follow.
  @Test func `only grammars' masks follow in a second copy`() throws {
    let vocabulary = GrammarVocabulary(
      count: 512, text: { $0 < 500 ? [97 + UInt8($0 % 26)] : [] }, usualTokens: { _ in [] })
    let grammar = TokenGrammar(try GrammarAutomaton(.regex("[a-f]{5,9}")), vocabulary: vocabulary)
    var constrained = GenerationRequest([5, 6, 7], max: 4, seed: 1, temperature: 1)
    constrained.grammar = grammar
    let free = GenerationRequest([8, 9], max: 20, seed: 2, temperature: 1)
    let (counts, _) = try copies([constrained, free])
    #expect(counts.allSatisfy { $0 == 1 || $0 == 2 }, "\(counts)")
    #expect(counts.first == 2 && counts.last == 1, "\(counts)")
    #expect((1...5).contains(counts.count { $0 == 2 }), "\(counts)")
  }
}
