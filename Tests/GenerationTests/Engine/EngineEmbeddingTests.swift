import CPUBackend
import Checkpoints
import Compute
import Models
import Scheduling
import TestSupport
import Testing

@testable import Generation

/// Embeddings through the engine, against the model's logits: the output projection is linear, so that of a pooled state
/// is the pooled logits.
@Suite struct EngineEmbeddingTests {
  private func engine(
    blocks: Int = 80, batch: Int = 128, _ change: (inout EngineOptions) -> Void = { _ in }
  ) throws -> Engine {
    var options = EngineOptions()
    options.validateEachStep = true
    change(&options)
    var limits = ModelLimits(maxBatchTokens: batch, maxSequences: 12, maxModelLength: 128, maxLogitRows: 64)
    limits.maxAdapterRank = 40
    return try Engine.start(options) { [limits] in
      try GraphModel(
        checkpoint: try Checkpoint.open(Fixtures.path("tiny/llama")), backend: CPUBackend(threads: 1),
        limits: limits, blockCount: blocks)
    }
  }

  private func request(_ prompt: [Int32], _ pooling: EmbeddingPooling, adapter: Int32 = 0)
    -> GenerationRequest
  {
    var request = GenerationRequest(prompt, max: 0)
    request.embedding = pooling
    request.adapter = adapter
    return request
  }

  private func prompts(_ count: Int) -> [[Int32]] {
    var random = SeededGenerator(seed: 17)
    let shared = (0..<32).map { _ in Int32.random(in: 4..<512, using: &random) }
    return (0..<count).map { index in
      let own = (0..<Int.random(in: 1...60, using: &random)).map { _ in
        Int32.random(in: 4..<512, using: &random)
      }
      return index % 2 == 0 ? shared + own : own
    }
  }

  @Test(
    "The output projection of an embedding is what the logits are, or their mean",
    arguments: EmbeddingPooling.allCases)
  func projection(_ pooling: EmbeddingPooling) throws {
    let checkpoint = try Checkpoint.open(Fixtures.path("tiny/llama"))
    let name = checkpoint.tensors["lm_head.weight"] == nil ? "model.embed_tokens.weight" : "lm_head.weight"
    let weight = try checkpoint.rawTensor(name).floats()
    let vocabularySize = checkpoint.tensors[name]?.shape[0] ?? 0
    let width = weight.count / vocabularySize
    let graph = try ModelGraph(
      checkpoint: checkpoint, backend: CPUBackend(threads: 1),
      limits: ModelLimits(maxBatchTokens: 128, maxSequences: 1, maxModelLength: 128, maxLogitRows: 128))
    let engine = try engine()
    for prompt in prompts(4) {
      var plan = StepPlan()
      plan.tokens = prompt
      plan.positions = prompt.indices.map { Int32($0) }
      plan.slots = plan.positions
      plan.queryStarts = [0, Int32(prompt.count)]
      plan.contextLengths = [Int32(prompt.count)]
      plan.blockTableStride = 8
      plan.blockTables = (0..<8).map { Int32($0) }
      plan.logitRows = plan.positions
      let view = try graph.forward(plan, cache: try graph.makeKVCache(blockCount: 8))
      var logits = [Float](repeating: 0, count: view.rows * view.columns)
      try unsafe logits.withUnsafeMutableBytes { try unsafe graph.backend.download(view, to: $0) }
      let rows = pooling == .last ? [prompt.count - 1] : Array(prompt.indices)

      let answer = try engine.answer(request(prompt, pooling))
      let vector = try #require(answer.embedding)
      #expect(vector.count == width)
      #expect(answer.disorder.isEmpty && answer.tokens.isEmpty && answer.reasons == [0: .length])
      var (error, largest) = (0.0, 0.0)
      for token in 0..<vocabularySize {
        let expected =
          rows.reduce(0.0) { $0 + Double(logits[$1 * vocabularySize + token]) } / Double(rows.count)
        let found = (0..<width).reduce(0.0) { $0 + Double(weight[token * width + $1]) * Double(vector[$1]) }
        error = max(error, abs(found - expected))
        largest = max(largest, abs(expected))
      }
      #expect(error <= 1e-5 * largest, "\(error) of \(largest)")
    }
    engine.stop()
  }

  @Test(
    "Embeddings have the same bits alone, in pieces, preempted and among generations, which they do not disturb"
  )
  func sameBits() throws {
    let alone = try engine()
    let adapter = try alone.loadAdapter(path: Fixtures.path("lora/llama-all"))
    let requests = prompts(24).enumerated().map { index, prompt -> GenerationRequest in
      if index % 3 == 0 {
        var request = GenerationRequest(prompt, max: 14, seed: UInt64(index), temperature: 0.8)
        request.adapter = index % 2 == 0 ? adapter : 0
        return request
      }
      return request(prompt, index % 3 == 1 ? .mean : .last, adapter: index % 4 == 0 ? adapter : 0)
    }
    let expected = try requests.map { try alone.answer($0) }
    #expect(expected.filter { $0.embedding != nil }.count == 16)
    // Prefixes of the cache: the last state needs one token computed, the mean all of them.
    for (index, request) in requests.enumerated() where request.prompt.count > 32 {
      let again = try alone.answer(request)
      #expect(again.embedding == expected[index].embedding)
      if request.embedding == .mean { #expect(again.prompts.first?.cached == 0) }
      if request.embedding == .last { #expect(again.prompts.first?.cached ?? 0 >= 32) }
    }
    alone.stop()
    for (blocks, batch, drafts) in [(80, 128, false), (80, 12, false), (12, 128, false), (80, 128, true)] {
      let engine = try engine(blocks: blocks, batch: batch) {
        if drafts { $0.speculation = .method(.ngram(PromptLookupSettings()), drafts: 3) }
      }
      _ = try engine.loadAdapter(path: Fixtures.path("lora/llama-all"))
      let streams = try requests.map { try engine.submit($0) }
      let answers = streams.map { Answer($0) }
      #expect(answers == expected)
      #expect(
        answers.map(\.embedding) == expected.map(\.embedding), "\(blocks) blocks, \(batch) tokens a step")
      #expect(answers.allSatisfy { $0.disorder.isEmpty })
      if blocks == 12 { #expect(engine.statistics().preemptions > 0) }
      engine.stop()
    }
  }

  @Test("A request for an embedding may neither generate nor have several choices")
  func refused() throws {
    let engine = try engine()
    for change in [{ $0.stop.maxTokens = 1 }, { $0.choices = 2 }] as [(inout GenerationRequest) -> Void] {
      var request = request([5, 6], .last)
      change(&request)
      #expect(throws: SubmissionError.self) { try engine.submit(request) }
    }
    // A prompt that fills the context has a state too.
    #expect(try engine.answer(request(Array(repeating: 5, count: 128), .mean)).embedding != nil)
    engine.stop()
    let states = try Engine.history()
    #expect(try states.answer(request([5, 6], .last)).embedding == [])
    states.stop()
  }
}
