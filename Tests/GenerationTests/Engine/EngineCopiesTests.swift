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

    func launch(_ plan: borrowing StepPlan, sampling batch: SamplingBatch) throws(KernelError) {
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

  private func run(
    _ requests: [GenerationRequest], policy: KVRetention? = nil,
    _ change: (inout EngineOptions) -> Void = { _ in }
  ) throws -> (counts: [Int], recordedShapes: Int, answers: [[Int32]]) {
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
    let answers = try requests.map { try engine.submit($0) }.map { Answer($0).tokens[0] ?? [] }
    #expect(answers.allSatisfy { !$0.isEmpty })
    #expect(log.allocations.withLock { $0 } == 0)
    return (log.counts, log.recordedShapes.withLock { $0 }, answers)
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
    let (counts, recordedShapes, _) = try run(requests) { $0.overlapsSteps = overlaps }
    #expect(counts.count > 12)
    #expect(counts.allSatisfy { $0 == 1 }, "\(counts)")
    #expect(recordedShapes > 0)
  }

  @Test func `a step that the host samples is one copy`() throws {
    let (counts, recordedShapes, _) = try run(requests) { $0.samplesOnHost = true }
    #expect(counts.count > 12 && counts.allSatisfy { $0 == 1 }, "\(counts)")
    #expect(recordedShapes > 0)
  }

  @Test func `the angles of streams are part of the copy`() throws {
    let (counts, _, _) = try run(requests, policy: KVRetention(sinks: 2, window: 20))
    #expect(counts.count > 12 && counts.allSatisfy { $0 == 1 }, "\(counts)")
  }

  /// Masks are made while the device computes, and are no part of what is copied.
  @Test func `steps with grammars are one copy, with jumps forward and drafts too`() throws {
    func letter(_ token: Int32) -> UInt8 { 97 + UInt8(token % 26) }
    let vocabulary = GrammarVocabulary(
      count: 512, text: { $0 < 500 ? [letter($0)] : [] },
      usualTokens: { bytes in bytes.map { Int32($0) - 97 } })
    let grammar = TokenGrammar(
      try GrammarAutomaton(.regex("[a-f]{3,5}(xyz)[a-f]{5,9}")), vocabulary: vocabulary)
    let requests = (0..<4).map { index in
      var request = GenerationRequest(
        [5, 6, 7 + Int32(index)], max: index == 3 ? 20 : 9, seed: UInt64(index),
        temperature: index == 0 ? 0 : 1)
      if index != 3 { request.grammar = grammar }
      if index == 2 { request.sampling.allowedTokens = (0..<500).filter { $0 % 26 != 2 } }
      return request
    }
    for speculation in [nil, SpeculationOptions.method(.suffix(SuffixSettings()), drafts: 3)] {
      let (counts, shapes, answers) = try run(requests) { $0.speculation = speculation }
      #expect(counts.count > 8 && counts.allSatisfy { $0 == 1 }, "\(counts)")
      #expect(shapes > 0)
      for (index, tokens) in answers.enumerated() where index != 3 {
        let text = String(decoding: tokens.map(letter), as: UTF8.self)
        #expect(text.count == 9 && text.wholeMatch(of: /[a-f]{3,5}xyz[a-f]*/) != nil, "\(text)")
        if index == 2 { #expect(!text.contains("c")) }
      }
    }
  }
}
