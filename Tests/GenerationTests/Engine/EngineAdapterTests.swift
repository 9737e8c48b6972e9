import CPUBackend
import Checkpoints
import Models
import TestSupport
import Testing

@testable import Generation

/// Adapters through the engine: many at once, with everything else.
@Suite struct EngineAdapterTests {
  private func engine(blocks: Int = 80, batch: Int = 128, _ change: (inout EngineOptions) -> Void = { _ in })
    throws
    -> Engine
  {
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

  private func requests(_ adapters: [Int32]) -> [GenerationRequest] {
    var random = SeededGenerator(seed: 5)
    let shared = (0..<32).map { _ in Int32.random(in: 4..<512, using: &random) }
    return (0..<24).map { index in
      let own = (0..<Int.random(in: 1...20, using: &random)).map { _ in
        Int32.random(in: 4..<512, using: &random)
      }
      var request = GenerationRequest(
        index % 2 == 0 ? shared + own : own, max: 12, seed: UInt64(index),
        temperature: index % 3 == 0 ? 0.9 : 0)
      request.adapter = adapters[index % adapters.count]
      return request
    }
  }

  @Test(
    "Tokens with an adapter are the same alone, together, preempted and with drafts; caches are kept apart")
  func sameTokens() throws {
    let alone = try engine()
    let adapters: [Int32] = [
      0, try alone.loadAdapter(path: Fixtures.path("lora/llama-all")),
      try alone.loadAdapter(path: Fixtures.path("lora/llama-rs")),
    ]
    let requests = requests(adapters)
    let expected = try requests.map { try alone.answer($0) }
    // The same prompt with another adapter finds nothing, with the same one all full blocks.
    for adapter in adapters {
      let number = try #require(requests.firstIndex { $0.adapter == adapter && $0.prompt.count > 32 })
      #expect(try alone.answer(requests[number]).prompts.first?.cached ?? 0 >= 32)
    }
    alone.stop()
    for (blocks, drafts) in [(80, false), (14, false), (80, true)] {
      let engine = try engine(blocks: blocks) {
        if drafts { $0.speculation = .method(.ngram(PromptLookupSettings()), drafts: 3) }
      }
      for path in ["lora/llama-all", "lora/llama-rs"] {
        _ = try engine.loadAdapter(path: Fixtures.path(path))
      }
      let streams = try requests.map { try engine.submit($0) }
      #expect(streams.map { Answer($0) } == expected)
      engine.stop()
    }
    var first = requests[0]
    var answers: Set<[Int32]> = []
    let fresh = try engine()
    for path in ["lora/llama-all", "lora/llama-rs"] { _ = try fresh.loadAdapter(path: Fixtures.path(path)) }
    for adapter in adapters {
      first.adapter = adapter
      let answer = try fresh.answer(first)
      #expect(answer.prompts.first?.cached == 0)
      answers.insert(answer.tokens[0] ?? [])
    }
    #expect(answers.count == 3)
    fresh.stop()
  }

  @Test("An adapter that is taken away serves its requests to their end, and no new ones")
  func unloading() throws {
    let engine = try engine()
    let id = try engine.loadAdapter(path: Fixtures.path("lora/llama-all"))
    var request = GenerationRequest([5, 6, 7], max: 40, temperature: 0)
    request.adapter = id
    let expected = try engine.answer(request)
    let stream = try engine.submit(request)
    #expect(engine.statistics().adapters.keys.allSatisfy { $0 == id })
    engine.unloadAdapter(id)
    let late = try engine.submit(request)
    #expect(Answer(stream) == expected)
    #expect(engine.statistics().adapters.isEmpty)
    guard case .failed = Answer(late).reasons[0] else {
      Issue.record("it was served")
      return
    }
    // The name may come back; its number does not.
    let again = try engine.loadAdapter(path: Fixtures.path("lora/llama-all"))
    #expect(again != id)
    request.adapter = again
    #expect(try engine.answer(request) == expected)
    #expect(throws: ModelError.self) { try engine.loadAdapter(path: Fixtures.path("lora/gpt2")) }
    engine.stop()
    #expect(throws: ModelError.self) { try engine.loadAdapter(path: Fixtures.path("lora/llama-all")) }
  }

  @Test("Requests are counted by adapter: waiting, then running, then not at all")
  func counted() throws {
    let hooks = HistoryModel.Hooks(paused: true)
    let engine = try Engine.history(hooks, sequences: 2)
    let streams = try [Int32(5), 5, 0, 5, 7].map { adapter in
      var request = GenerationRequest([5, 6], max: 3)
      request.adapter = adapter
      return try engine.submit(request)
    }
    func waitUntilBlocked(afterSteps steps: Int) {
      hooks.state.wait(until: nil) { $0.steps == steps && $0.waiting > 0 ? () : nil }
    }
    // The first step may start before the last request comes.
    hooks.allow(1)
    waitUntilBlocked(afterSteps: 1)
    #expect(
      engine.statistics().adapters
        == [5: AdapterLoad(running: 2, waiting: 1), 7: AdapterLoad(waiting: 1)])
    streams[0].cancel()
    streams[3].cancel()
    hooks.allow(1)
    waitUntilBlocked(afterSteps: 2)
    #expect(engine.statistics().adapters == [5: AdapterLoad(running: 1), 7: AdapterLoad(waiting: 1)])
    hooks.resume()
    for stream in streams { _ = Answer(stream) }
    #expect(engine.statistics().adapters.isEmpty)
    engine.stop()
  }

  @Test("An engine whose model takes no adapters says so")
  func noAdapters() throws {
    let engine = try Engine.history()
    #expect(throws: ModelError.self) { try engine.loadAdapter(path: Fixtures.path("lora/llama-all")) }
    engine.stop()
  }
}
