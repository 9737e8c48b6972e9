import Scheduling
import TestSupport
import Testing

@testable import Generation

/// What else runs, how steps are cut, and what is preempted changes no token.
@Suite struct EngineBatchingTests {
  static func requests(_ count: Int, seed: UInt64, prompts: ClosedRange<Int>, outputs: ClosedRange<Int>)
    -> [GenerationRequest]
  {
    var random = SeededGenerator(seed: seed)
    let shared = (0..<40).map { _ in Int32.random(in: 0..<61, using: &random) }
    return (0..<count).map { index in
      let own = (0..<Int.random(in: prompts, using: &random)).map { _ in
        Int32.random(in: 0..<61, using: &random)
      }
      var request = GenerationRequest(
        index % 3 == 0 ? shared + own : own, max: Int.random(in: outputs, using: &random),
        seed: UInt64(index), temperature: [0, 0.7, 1.2][index % 3])
      if index % 4 == 1 {
        request.sampling.repetitionPenalty = 1.2
        request.sampling.frequencyPenalty = 0.3
        request.sampling.topK = 20
      }
      if index % 5 == 2 { request.stop.endOfTextTokens = [7, 9] }
      return request
    }
  }

  @Test(
    "A request alone, among 64, in small pieces and preempted gives the same tokens",
    arguments: [
      // Blocks, tokens a step, sequences: roomy; small steps; preempting; one at a time.
      (400, 256, 64), (400, 80, 64), (24, 80, 40), (24, 16, 16), (60, 64, 1),
    ])
  func sameTokens(blocks: Int, batch: Int, sequences: Int) throws {
    let requests = Self.requests(65, seed: 3, prompts: 1...60, outputs: 1...40)
    let hooks = HistoryModel.Hooks(paused: true)
    let engine = try Engine.history(hooks, blocks: blocks, batch: batch, sequences: sequences)
    let streams = try requests.map { try engine.submit($0) }
    hooks.resume()
    for (request, stream) in zip(requests, streams) {
      let answer = Answer(stream)
      #expect(answer.tokens[0] == (try HistoryModel.reference(request, vocabularySize: 61)))
      #expect(answer.disorder.isEmpty)
    }
    let statistics = engine.statistics()
    #expect(statistics.kvCacheUsage == 0)
    #expect(statistics.runningRequests == 0 && statistics.waitingRequests == 0)
    if blocks == 24 && batch == 80 { #expect(statistics.preemptions > 0) }
    engine.stop()
    #expect(hooks.snapshot.breaches.isEmpty)
    if sequences == 64 { #expect(hooks.snapshot.largestBatch > 20) }
  }

  @Test("Without a prefix cache and under the priority policy the tokens are the same")
  func otherPolicies() throws {
    var requests = Self.requests(30, seed: 5, prompts: 1...60, outputs: 1...40)
    for index in requests.indices { requests[index].priority = (index * 7) % 5 }
    let hooks = HistoryModel.Hooks(paused: true)
    let engine = try Engine.history(hooks, blocks: 24, batch: 64, sequences: 16) {
      $0.enablePrefixCaching = false
      $0.policy = .priority
      $0.longPrefillTokenThreshold = 9
    }
    let streams = try requests.map { try engine.submit($0) }
    hooks.resume()
    for (request, stream) in zip(requests, streams) {
      #expect(Answer(stream).tokens[0] == (try HistoryModel.reference(request, vocabularySize: 61)))
    }
    engine.stop()
    #expect(hooks.snapshot.breaches.isEmpty)
  }

  @Test("Choices share the prompt and draw apart", arguments: [3, 16, 17, 50])
  func choices(promptLength: Int) throws {
    let hooks = HistoryModel.Hooks()
    let engine = try Engine.history(hooks)
    var request = GenerationRequest((0..<promptLength).map { Int32($0 % 61) }, max: 20, seed: 11)
    request.choices = 5
    let answer = try engine.answer(request)
    for choice in 0..<5 {
      let expected = try HistoryModel.reference(request, choice: choice, vocabularySize: 61)
      #expect(answer.tokens[choice] == expected)
      #expect(answer.reasons[choice] == .length)
    }
    #expect(Set(answer.tokens.values).count == 5)
    #expect(answer.prompts.count == 1 && answer.disorder.isEmpty)
    engine.stop()
    #expect(hooks.snapshot.breaches.isEmpty)
  }

  @Test("Requests without a seed differ, and repeat with the engine's seed and order")
  func drawnSeeds() throws {
    func tokens(engineSeed: UInt64) throws -> [[Int32]] {
      let engine = try Engine.history { $0.seed = engineSeed }
      defer { engine.stop() }
      return try (0..<4).map { _ in
        try engine.answer(GenerationRequest([1, 2, 3], max: 16, seed: nil)).tokens[0] ?? []
      }
    }
    let first = try tokens(engineSeed: 1)
    #expect(Set(first).count == 4)
    #expect(try tokens(engineSeed: 1) == first)
    #expect(try tokens(engineSeed: 2) != first)
  }

  @Test("A repeated prompt is answered from the cache, with the same tokens")
  func prefixCache() throws {
    let hooks = HistoryModel.Hooks()
    let engine = try Engine.history(hooks)
    var request = GenerationRequest((0..<50).map { Int32($0) }, max: 8)
    let first = try engine.answer(request)
    let second = try engine.answer(request)
    #expect(first == second)
    #expect(first.prompts.first?.cached == 0)
    #expect(second.prompts.first?.cached == 48)
    request.cacheSalt = "other tenant"
    #expect(try engine.answer(request).prompts.first?.cached == 0)
    engine.stop()
    let statistics = engine.statistics()
    #expect(statistics.promptTokens == 150 && statistics.cachedPromptTokens == 48)
    #expect(statistics.generationTokens == 24)
  }
}
