import CPUBackend
import Checkpoints
import Compute
import JSON
import Models
import Numerics
import TestSupport
import Testing

@testable import Generation

/// The engine over real models on the CPU backend.
@Suite struct EngineRealModelTests {
  private func engine(
    _ fixture: String, blocks: Int, batch: Int, sequences: Int = 65, length: Int = 256,
    cacheType: DataType? = nil
  ) throws -> Engine {
    var options = EngineOptions()
    options.validateEachStep = true
    let limits = ModelLimits(
      maxBatchTokens: batch, maxSequences: sequences, maxModelLength: length, maxLogitRows: sequences,
      cacheType: cacheType)
    return try Engine.start(options) {
      try GraphModel(
        checkpoint: try Checkpoint.open(Fixtures.path(fixture)), backend: CPUBackend(threads: 1),
        limits: limits,
        blockCount: blocks)
    }
  }

  private struct Golden {
    var prompt: [Int32]
    var tokens: [Int32]
  }

  private func goldens(_ fixture: String, _ list: String, _ prompt: String, _ tokens: String) throws
    -> [Golden]
  {
    let json = try JSONValue.parse(Fixtures.bytes(fixture + "/expected.json"))
    return try #require(json[list]?.array).map { item in
      Golden(
        prompt: try #require(item[prompt]?.array).compactMap { $0.int.flatMap { Int32(exactly: $0) } },
        tokens: try #require(item[tokens]?.array).compactMap { $0.int.flatMap { Int32(exactly: $0) } })
    }
  }

  @Test(
    "Greedy tokens are those of transformers, all prompts at once",
    arguments: ["llama", "gpt2", "bloom", "qwen2"])
  func goldenTokens(family: String) throws {
    let fixture = "tiny/" + family
    let engine = try engine(fixture, blocks: 60, batch: 70)
    defer { engine.stop() }
    let goldens = try goldens(fixture, "prompts", "input_ids", "greedy_tokens")
    #expect(!goldens.isEmpty)
    let streams = try goldens.map {
      try engine.submit(GenerationRequest($0.prompt, max: $0.tokens.count, temperature: 0))
    }
    for (golden, stream) in zip(goldens, streams) { #expect(Answer(stream).tokens[0] == golden.tokens) }
  }

  @Test(
    "A request alone, among 64 others, and preempted gives the same tokens",
    arguments: [DataType.float32, .int8, .float8E4M3])
  func sameTokens(cacheType: DataType) throws {
    var random = SeededGenerator(seed: 12)
    let requests = (0..<65).map { index in
      let prompt = (0..<Int.random(in: 1...30, using: &random)).map { _ in
        Int32.random(in: 3..<512, using: &random)
      }
      var request = GenerationRequest(
        prompt, max: 12, seed: UInt64(index), temperature: index % 2 == 0 ? 0 : 0.9)
      request.sampling.topP = 0.95
      return request
    }
    let alone = try engine("tiny/llama", blocks: 200, batch: 512, sequences: 1, cacheType: cacheType)
    #expect(alone.information.cacheType == cacheType.cacheName)
    let expected = try requests.map { try alone.answer($0) }
    alone.stop()
    for (blocks, batch) in [(200, 512), (12, 66)] {
      let engine = try engine("tiny/llama", blocks: blocks, batch: batch, cacheType: cacheType)
      let streams = try requests.map { try engine.submit($0) }
      #expect(streams.map { Answer($0) } == expected)
      if blocks == 12 { #expect(engine.statistics().preemptions > 0) }
      engine.stop()
    }
  }

  @Test("A prefix is found again in a cache of codes, and read as if it were computed anew")
  func prefixOfCodes() throws {
    var random = SeededGenerator(seed: 4)
    let prompt = (0..<50).map { _ in Int32.random(in: 3..<512, using: &random) }
    let request = GenerationRequest(prompt, max: 12, temperature: 0)
    let engine = try engine("tiny/llama", blocks: 60, batch: 256, cacheType: .int8)
    defer { engine.stop() }
    let first = try engine.answer(request)
    let again = try engine.answer(request)
    #expect(first.prompts.first?.cached == 0 && again.prompts.first?.cached == 48)
    #expect(first.tokens == again.tokens)
  }

  @Test("The demo model continues its prompts as transformers does")
  func demo() throws {
    let engine = try engine("demo", blocks: 40, batch: 128, sequences: 8)
    defer { engine.stop() }
    let goldens = try goldens("demo", "greedy", "input_ids", "tokens")
    let streams = try goldens.map {
      try engine.submit(GenerationRequest($0.prompt, max: min($0.tokens.count, 24), temperature: 0))
    }
    for (golden, stream) in zip(goldens, streams) {
      #expect(Answer(stream).tokens[0] == Array(golden.tokens.prefix(24)))
    }
  }

  @Test("Prompt log-probabilities are those of the reference logits, in any cut of the prompt")
  func promptLogprobs() throws {
    let golden = try #require(try goldens("tiny/llama", "prompts", "input_ids", "greedy_tokens").first)
    let wide = try engine("tiny/llama", blocks: 60, batch: 256)
    let narrow = try engine("tiny/llama", blocks: 60, batch: 4, sequences: 3)
    defer {
      wide.stop()
      narrow.stop()
    }
    var request = GenerationRequest(golden.prompt + golden.tokens, max: 1, temperature: 0)
    request.promptLogprobs = 3
    request.logprobs = 2
    let found = try wide.answer(request)
    let prompt = try #require(found.prompts.first?.logprobs)
    #expect(prompt.count == request.prompt.count && prompt[0] == nil)
    for (index, token) in golden.tokens.enumerated() {
      // The greedy continuation is the most likely token at each of its places.
      let entry = try #require(prompt[golden.prompt.count + index])
      #expect(entry.chosen.token == token && entry.chosen.rank == 1 && entry.top[0] == entry.chosen)
    }
    #expect(found.logprobs[0]?.first??.top.count == 2)
    let cut = try narrow.answer(request)
    #expect(cut.prompts.first?.logprobs == prompt)
    #expect(cut.logprobs[0] == found.logprobs[0])
  }
}
