import Testing

@testable import Generation

@Suite struct EngineLogprobTests {
  private func expected(_ tokens: [Int32], _ next: Int32, top: Int) throws -> TokenLogprobs {
    var sampler = Sampler(vocabularySize: 61)
    return try sampler.logprobs(HistoryModel.logits(after: tokens, vocabularySize: 61), token: next, top: top)
  }

  @Test("Log-probabilities are of the raw logits, whatever shapes the choice")
  func generated() throws {
    let engine = try Engine.history()
    defer { engine.stop() }
    var request = GenerationRequest([4, 5, 6], max: 12, seed: 3, temperature: 0.4)
    request.sampling.repetitionPenalty = 1.5
    request.sampling.topK = 5
    request.logprobs = 4
    let plain = try engine.answer(request)
    let tokens = try #require(plain.tokens[0])
    for (index, found) in try #require(plain.logprobs[0]).enumerated() {
      let before = request.prompt + tokens.prefix(index)
      #expect(try found == expected(before, tokens[index], top: 4))
    }
    request.logprobs = nil
    let silent = try engine.answer(request)
    #expect(silent == plain && silent.logprobs[0]?.allSatisfy { $0 == nil } == true)
  }

  @Test(
    "Every prompt token but the first is scored, in pieces, after preemption and for several choices",
    arguments: [(256, 400), (9, 400), (20, 8)])
  func prompt(batch: Int, blocks: Int) throws {
    let hooks = HistoryModel.Hooks(paused: true)
    let engine = try Engine.history(hooks, length: 128, blocks: blocks, batch: batch, sequences: 4)
    let prompt = (0..<70).map { Int32($0 * 7 % 61) }
    var request = GenerationRequest(prompt, max: 6, seed: 1)
    request.promptLogprobs = 2
    request.choices = 2
    let streams = [
      try engine.submit(GenerationRequest(prompt, max: 30)), try engine.submit(request),
      try engine.submit(GenerationRequest([1, 2], max: 30)),
    ]
    hooks.resume()
    let answers = streams.map { Answer($0) }
    let found = try #require(answers[1].prompts.first?.logprobs)
    #expect(found.count == 70 && found[0] == nil)
    for index in 1..<70 {
      #expect(try found[index] == expected(Array(prompt.prefix(index)), prompt[index], top: 2))
    }
    #expect(answers[1].tokens.count == 2 && answers.allSatisfy(\.disorder.isEmpty))
    #expect(answers[0].prompts.first?.logprobs == nil)
    engine.stop()
    #expect(hooks.snapshot.breaches.isEmpty)
  }
}
