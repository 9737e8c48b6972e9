import Glibc
import Scheduling
import TestSupport
import Testing

@testable import Generation

/// Speculation changes when tokens come, never which.
@Suite struct SpeculationTests {
  /// Requests of every kind of setting that looks at the tokens so far.
  private func requests(_ count: Int, seed: UInt64) -> [GenerationRequest] {
    var requests = EngineBatchingTests.requests(count, seed: seed, prompts: 1...60, outputs: 1...60)
    for index in requests.indices {
      switch index % 7 {
      case 0: requests[index].sampling.minP = 0.1
      case 1: requests[index].sampling.logitBias = [3: 4, 5: -4]
      case 2:
        requests[index].stop.minTokens = 6
        requests[index].stop.stopTokens = [4, 8, 15]
      case 3: requests[index].sampling.badWords = [[3, 4], [9]]
      case 4: requests[index].sampling.presencePenalty = 1.5
      case 5: requests[index].logprobs = 2
      default: requests[index].sampling.topP = 0.8
      }
    }
    return requests
  }

  @Test(
    "Tokens are those without drafts: roomy, in small steps, preempting, one at a time",
    arguments: [(400, 256, 64), (400, 80, 64), (24, 80, 40), (24, 16, 16), (60, 64, 1)], [1, 5])
  func sameTokens(shape: (blocks: Int, batch: Int, sequences: Int), drafts: Int) throws {
    let requests = requests(65, seed: 31)
    let hooks = HistoryModel.Hooks(paused: true)
    let limits = EngineLimits.history(blocks: shape.blocks, batch: shape.batch, sequences: shape.sequences)
    let engine = try Engine.history(
      hooks, blocks: shape.blocks, batch: shape.batch, sequences: shape.sequences
    ) {
      $0.speculation = .history(limits, drafts: drafts)
    }
    let streams = try requests.map { try engine.submit($0) }
    hooks.resume()
    for (request, stream) in zip(requests, streams) {
      let answer = Answer(stream)
      #expect(answer.tokens[0] == (try HistoryModel.reference(request, vocabularySize: 61)))
      #expect(answer.disorder.isEmpty)
      if request.logprobs != nil {
        #expect(answer.logprobs[0]?.map { $0?.chosen.token } == answer.tokens[0]?.map { .some($0) })
      }
    }
    let statistics = engine.statistics()
    engine.stop()
    #expect(hooks.snapshot.breaches.isEmpty)
    #expect(statistics.kvCacheUsage == 0)
    let counts = try #require(statistics.speculation)
    #expect(counts.acceptedTokens <= counts.draftTokens)
    #expect(counts.acceptedByPosition.reduce(0, +) == counts.acceptedTokens)
    if shape.blocks == 400, shape.batch == 256 {
      // Three drafts in four are right, but for settings that see the drafts before them.
      #expect(Double(counts.acceptedTokens) > 0.3 * Double(counts.draftTokens))
      #expect(counts.acceptedTokens < counts.draftTokens)
    }
  }

  @Test("Log-probabilities, choices, and counts of drafts are told as without and with them")
  func details() throws {
    var request = GenerationRequest([1, 2, 3, 4], max: 40, seed: 5, temperature: 0.8)
    request.choices = 3
    request.logprobs = 3
    request.promptLogprobs = 1
    let plain = try Engine.history()
    let expected = try plain.answer(request)
    plain.stop()
    let engine = try Engine.history { $0.speculation = .history(.history(), drafts: 4) }
    let found = try engine.answer(request)
    #expect(found == expected)
    for choice in 0..<3 { #expect(found.logprobs[choice] == expected.logprobs[choice]) }
    #expect(found.prompts.first?.logprobs == expected.prompts.first?.logprobs)
    #expect(found.disorder.isEmpty)
    let counts = try #require(engine.statistics().speculation)
    #expect(found.drafts?.accepted == Int(counts.acceptedTokens))
    #expect((found.drafts?.accepted ?? 0) + (found.drafts?.refused ?? 0) == Int(counts.draftTokens))
    #expect(engine.statistics().generationTokens == 120)
    #expect(expected.drafts == nil)
    engine.stop()
  }

  @Test("Perfect drafts are all accepted, and steps get fewer accordingly")
  func perfect() throws {
    let hooks = HistoryModel.Hooks()
    let engine = try Engine.history(hooks) { $0.speculation = .history(.history(), drafts: 4, rate: .max) }
    let request = GenerationRequest([1, 2, 3], max: 101, seed: 3, temperature: 0.9)
    _ = try engine.answer(request)
    let counts = try #require(engine.statistics().speculation)
    #expect(counts.acceptedTokens == counts.draftTokens)
    engine.stop()
    // The prompt's step gives one token, the others five each.
    #expect(hooks.snapshot.steps == 21)
  }

  @Test("A draft model whose pool is too small drafts for whom it can")
  func smallDraftPool() throws {
    let requests = requests(20, seed: 8)
    let engine = try Engine.history { $0.speculation = .history(.history(), drafts: 4, blocks: 9) }
    let streams = try requests.map { try engine.submit($0) }
    for (request, stream) in zip(requests, streams) {
      #expect(Answer(stream).tokens[0] == (try HistoryModel.reference(request, vocabularySize: 61)))
    }
    engine.stop()
  }

  @Test("A sequence that fails behind its drafts fails where it would have failed")
  func failure() throws {
    let hooks = HistoryModel.Hooks()
    let request = GenerationRequest([1, 2, 3], max: 60, seed: 3, temperature: 0)
    let tokens = try HistoryModel.reference(request, vocabularySize: 61)
    let poison = try #require(tokens.dropFirst(5).first)
    hooks.state.update { $0.poison = poison }
    let engine = try Engine.history(hooks) { $0.speculation = .history(.history(), drafts: 5, rate: .max) }
    let answer = try engine.answer(request)
    let end = try #require(tokens.firstIndex(of: poison))
    #expect(answer.tokens[0] == Array(tokens[...end]))
    guard case .failed = answer.reasons[0] else {
      Issue.record("it did not fail")
      return
    }
    engine.stop()
  }

  /// Three sampled tokens of a vocabulary of 6: all 216 outcomes against their exact probabilities.
  @Test("Sampling with drafts has the distribution of the model", arguments: [false, true])
  func distribution(speculates: Bool) throws {
    let (vocabulary, draws) = (6, 20_000)
    let prompt: [Int32] = [2, 0, 1]
    let engine = try Engine.history(vocabulary: vocabulary, sequences: 64) {
      if speculates { $0.speculation = .history(.history(vocabulary: vocabulary), drafts: 2, rate: 2) }
    }
    defer { engine.stop() }
    var counts = [Int](repeating: 0, count: 216)
    for start in stride(from: 0, to: draws, by: 500) {
      let streams = try (start..<start + 500).map {
        try engine.submit(GenerationRequest(prompt, max: 3, seed: UInt64($0) &* 7919, temperature: 2))
      }
      for stream in streams {
        let tokens = try #require(Answer(stream).tokens[0])
        counts[tokens.reduce(0) { $0 * 6 + Int($1) }] += 1
      }
    }
    if speculates {
      let found = try #require(engine.statistics().speculation)
      #expect(found.acceptedTokens > 5000 && found.acceptedTokens < found.draftTokens)
    }
    var statistic = 0.0
    for outcome in 0..<216 {
      let tokens = [outcome / 36, outcome / 6 % 6, outcome % 6].map { Int32($0) }
      var probability = 1.0
      for place in 0..<3 {
        let logits = HistoryModel.logits(after: prompt + tokens[..<place], vocabularySize: vocabulary)
        let weights = logits.map { exp(Double($0) / 2) }
        probability *= weights[Int(tokens[place])] / weights.reduce(0, +)
      }
      let expected = probability * Double(draws)
      statistic += (Double(counts[outcome]) - expected) * (Double(counts[outcome]) - expected) / expected
    }
    // χ² of 215 degrees of freedom exceeds 298.6 once in ten thousand times.
    #expect(statistic < 298.6, "\(statistic)")
  }
}
