import CPUBackend
import Checkpoints
import Models
import Numerics
import Scheduling
import TestSupport
import Testing

@testable import Generation

/// Long sequences in few blocks, through the whole engine.
@Suite struct EngineRetentionTests {
  private func engine(
    _ fixture: String, blocks: Int, batch: Int, sequences: Int = 4, length: Int, policy: KVRetention? = nil,
    cacheType: DataType? = nil
  ) throws -> Engine {
    var options = EngineOptions()
    options.validateEachStep = true
    var limits = ModelLimits(
      maxBatchTokens: batch, maxSequences: sequences, maxModelLength: length, maxLogitRows: sequences,
      cacheType: cacheType)
    limits.policy = policy
    return try Engine.start(options) { [limits] in
      try GraphModel(
        checkpoint: try Checkpoint.open(Fixtures.path(fixture)), backend: CPUBackend(threads: 1),
        limits: limits,
        blockCount: blocks)
    }
  }

  /// Tokens that all fixtures know.
  private func prompt(_ count: Int, seed: UInt64 = 1) -> [Int32] {
    var random = SeededGenerator(seed: seed)
    return (0..<count).map { _ in Int32.random(in: 4..<72, using: &random) }
  }

  @Test(
    "A sliding window's memory is freed: the same tokens from a pool that could not hold the sequences",
    arguments: [DataType.float32, .int8])
  func slidingWindow(cacheType: DataType) throws {
    let requests = (0..<6).map { index in
      GenerationRequest(
        prompt(20 + 17 * index, seed: UInt64(index)), max: 60, seed: UInt64(index),
        temperature: index % 2 == 0 ? 0 : 0.9)
    }
    let roomy = try engine(
      "families/mistral-window-16", blocks: 200, batch: 256, sequences: 6, length: 256, cacheType: cacheType)
    let expected = try requests.map { try roomy.answer($0) }
    roomy.stop()
    // A sequence of 160 tokens would need 10 blocks; with a window of 16 it holds 3 at a time.
    let small = try engine(
      "families/mistral-window-16", blocks: 7, batch: 16, length: 256, cacheType: cacheType)
    let streams = try requests.map { try small.submit($0) }
    #expect(streams.map { Answer($0) } == expected)
    #expect(small.statistics().kvCacheUsage == 0)
    small.stop()
  }

  @Test("A window's prefix is found in the cache by its end")
  func windowPrefix() throws {
    let engine = try engine("families/mistral-window-16", blocks: 6, batch: 16, length: 256)
    let first = prompt(150)
    _ = try engine.answer(GenerationRequest(first, max: 1, temperature: 0))
    let again = try engine.answer(GenerationRequest(first + [7, 8], max: 3, temperature: 0))
    // 150 tokens fill nine blocks, of which a query behind them sees the last one or two.
    #expect(again.prompts.first?.cached == 144)
    engine.stop()
    let fresh = try self.engine("families/mistral-window-16", blocks: 60, batch: 256, length: 256)
    #expect(try fresh.answer(GenerationRequest(first + [7, 8], max: 3, temperature: 0)) == again)
    fresh.stop()
  }

  @Test("100,000 tokens stream through a pool of 30 blocks")
  func endlessStream() throws {
    let policy = KVRetention(sinks: 4, window: 96)
    let request = GenerationRequest(prompt(99_000), max: 1000, temperature: 0)
    var answers: [Answer] = []
    for batch in [256, 192] {
      let engine = try engine(
        "tiny/llama", blocks: 30, batch: batch, sequences: 1, length: 1 << 20, policy: policy)
      answers.append(try engine.answer(request))
      #expect(engine.statistics().preemptions == 0)
      engine.stop()
    }
    #expect(answers[0].tokens[0]?.count == 1000)
    #expect(answers[0] == answers[1])
  }

  @Test("Sinks and drafts together give the tokens of sinks alone")
  func withDrafts() throws {
    let policy = KVRetention(sinks: 4, window: 40)
    let requests = (0..<4).map {
      GenerationRequest(prompt(50 + $0, seed: UInt64($0)), max: 150, temperature: 0)
    }
    let plain = try engine("tiny/llama", blocks: 60, batch: 64, length: 512, policy: policy)
    let expected = try requests.map { try plain.answer($0) }
    plain.stop()
    var options = EngineOptions()
    options.validateEachStep = true
    options.speculation = .method(.ngram(PromptLookupSettings()), drafts: 6)
    var limits = ModelLimits(maxBatchTokens: 64, maxSequences: 4, maxModelLength: 512, maxLogitRows: 64)
    limits.policy = policy
    let engine = try Engine.start(options) { [limits] in
      try GraphModel(
        checkpoint: try Checkpoint.open(Fixtures.path("tiny/llama")), backend: CPUBackend(threads: 1),
        limits: limits,
        blockCount: 30)
    }
    let streams = try requests.map { try engine.submit($0) }
    #expect(streams.map { Answer($0) } == expected)
    #expect(engine.statistics().speculation?.acceptedTokens ?? 0 > 0)
    engine.stop()
  }
}
