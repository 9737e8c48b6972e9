import Compute
import Foundation
import Scheduling
import TestSupport
import Testing

@testable import Generation

/// Engines over a device that samples: overlap changes when things happen, never what.
@Suite struct EngineOverlapTests {
  @Test func `a step is launched before the results of the one before are taken`() throws {
    let log = HistoryDevice.Log()
    let engine = try Engine.history(device: log)
    let answer = try engine.answer(GenerationRequest([3, 1, 4], max: 5))
    engine.stop()
    #expect(
      answer.tokens[0]
        == (try HistoryModel.reference(GenerationRequest([3, 1, 4], max: 5), vocabularySize: 61)))
    // The last token's step is the last: a length is known beforehand.
    #expect(
      log.trace == [
        .launch(0, fed: 0), .launch(1, fed: 1), .collect(0), .launch(2, fed: 1), .collect(1),
        .launch(3, fed: 1), .collect(2), .launch(4, fed: 1), .collect(3), .collect(4),
      ])
  }

  @Test func `without overlap a step is launched when the one before is done`() throws {
    let log = HistoryDevice.Log()
    let engine = try Engine.history(device: log) { $0.overlapsSteps = false }
    _ = try engine.answer(GenerationRequest([3, 1, 4], max: 3))
    engine.stop()
    #expect(
      log.trace == [
        .launch(0, fed: 0), .collect(0), .launch(1, fed: 0), .collect(1), .launch(2, fed: 0), .collect(2),
      ])
  }

  @Test func `a stop token costs one step more, whose token nobody sees`() throws {
    let hooks = HistoryModel.Hooks()
    hooks.state.update { $0.forced = [5: 6, 6: 7, 7: 8, 8: 9] }
    let log = HistoryDevice.Log()
    let engine = try Engine.history(hooks, device: log)
    var request = GenerationRequest([5], max: 40, temperature: 0)
    request.stop.stopTokens = [8]
    let answer = try engine.answer(request)
    engine.stop()
    #expect(answer.tokens[0] == [6, 7, 8] && answer.reasons[0] == .stopToken(8))
    #expect(log.trace.filter { if case .launch = $0 { true } else { false } }.count == 4)
    #expect(engine.statistics().kvCacheUsage == 0)
  }

  /// Requests of every kind, some of which keep the next step waiting.
  private func requests(_ count: Int, seed: UInt64) -> [GenerationRequest] {
    var requests = EngineBatchingTests.requests(count, seed: seed, prompts: 1...60, outputs: 1...60)
    for index in requests.indices {
      switch index % 9 {
      case 0: requests[index].sampling.minP = 0.1
      case 1: requests[index].sampling.logitBias = [3: 4, 5: -4]
      case 2:
        requests[index].stop.minTokens = 6
        requests[index].stop.stopTokens = [4, 8, 15, 16, 23, 42]
      case 3: requests[index].sampling.badWords = [[3, 4], [9]]
      case 4: requests[index].sampling.presencePenalty = 1.5
      case 5: requests[index].logprobs = 2
      case 6: requests[index].sampling.allowedTokens = Array(10..<40)
      case 7: requests[index].promptLogprobs = 1
      default: requests[index].stop.stopTokens = Array(0..<8)
      }
    }
    return requests
  }

  /// Of `requests(_:seed:)`, those of which the host need not see a token before the next one.
  private func runningAhead(_ count: Int, seed: UInt64) -> [GenerationRequest] {
    requests(count, seed: seed).filter { $0.sampling.badWords.isEmpty && $0.promptLogprobs == nil }
  }

  @Test(
    "Tokens are those of the plain loop: roomy, in small steps, preempting, one at a time",
    arguments: [(400, 256, 64), (400, 80, 64), (24, 80, 40), (24, 16, 16), (60, 64, 1)], [true, false])
  func sameTokens(shape: (blocks: Int, batch: Int, sequences: Int), runsAhead: Bool) throws {
    let requests = runsAhead ? runningAhead(65, seed: 31) : requests(65, seed: 32)
    let hooks = HistoryModel.Hooks(paused: true)
    let log = HistoryDevice.Log()
    let engine = try Engine.history(
      hooks, blocks: shape.blocks, batch: shape.batch, sequences: shape.sequences, device: log)
    let streams = try requests.map { try engine.submit($0) }
    hooks.resume()
    for (request, stream) in zip(requests, streams) {
      let answer = Answer(stream)
      #expect(answer.tokens[0] == (try HistoryModel.reference(request, vocabularySize: 61)))
      #expect(answer.disorder.isEmpty)
      if request.logprobs != nil {
        #expect(answer.logprobs[0]?.map { $0?.chosen.token } == answer.tokens[0]?.map { .some($0) })
      }
      if request.promptLogprobs != nil {
        #expect(answer.prompts.first?.logprobs?.dropFirst().allSatisfy { $0 != nil } == true)
      }
    }
    engine.stop()
    #expect(hooks.snapshot.breaches.isEmpty)
    #expect(engine.statistics().kvCacheUsage == 0)
    #expect(log.overlaps > (runsAhead ? 10 : 0))
    let fetched = log.trace.contains { if case .logits = $0 { true } else { false } }
    #expect(fetched == !runsAhead)
    if shape.blocks == 24 { #expect(engine.statistics().preemptions > 0) }
  }

  @Test func `rows for which a device has no room are sampled by the host`() throws {
    let requests = requests(30, seed: 7)
    let hooks = HistoryModel.Hooks(paused: true)
    let log = HistoryDevice.Log(
      capacity: SamplingCapacity(
        vocabularySize: 61, rows: 9, edits: 3, seenTokens: 40, masks: 1, alternatives: 3))
    let engine = try Engine.history(hooks, device: log)
    let streams = try requests.map { try engine.submit($0) }
    hooks.resume()
    for (request, stream) in zip(requests, streams) {
      #expect(Answer(stream).tokens[0] == (try HistoryModel.reference(request, vocabularySize: 61)))
    }
    engine.stop()
    #expect(hooks.snapshot.breaches.isEmpty)
    #expect(log.trace.contains { if case .logits = $0 { true } else { false } })
  }

  @Test func `drafts are verified with the device's tokens, one step at a time`() throws {
    let requests = requests(40, seed: 5)
    let limits = EngineLimits.history()
    let log = HistoryDevice.Log()
    let engine = try Engine.history(device: log) { $0.speculation = .history(limits, drafts: 4) }
    let streams = try requests.map { try engine.submit($0) }
    for (request, stream) in zip(requests, streams) {
      #expect(Answer(stream).tokens[0] == (try HistoryModel.reference(request, vocabularySize: 61)))
    }
    let counts = try #require(engine.statistics().speculation)
    engine.stop()
    #expect(counts.acceptedTokens > 0)
    #expect(log.trace.allSatisfy { if case .launch(_, let fed) = $0 { fed == 0 } else { true } })
  }

  @Test func `a sequence without a token to draw fails alone`() throws {
    let hooks = HistoryModel.Hooks(paused: true)
    hooks.state.update {
      $0.poison = 60
      $0.forced = [50: 60]
    }
    let engine = try Engine.history(hooks, device: HistoryDevice.Log())
    let poisoned = try engine.submit(GenerationRequest([50], max: 9, temperature: 0))
    let healthy = try engine.submit(GenerationRequest([1, 2], max: 9))
    hooks.resume()
    let answer = Answer(poisoned)
    #expect(answer.tokens[0] == [60])
    guard case .failed(let text) = answer.reasons[0] else {
      Issue.record("\(answer.reasons)")
      return
    }
    #expect(text.contains("not finite"))
    #expect(Answer(healthy).reasons[0] == .length)
    engine.stop()
    #expect(engine.statistics().kvCacheUsage == 0)
  }

  @Test("Clients that read, finish and cancel at random leave nothing behind")
  func manyClients() throws {
    let hooks = HistoryModel.Hooks()
    let log = HistoryDevice.Log()
    let engine = try Engine.history(hooks, blocks: 40, batch: 64, sequences: 24, device: log)
    let counted = Monitor((ended: 0, wrong: [String]()))
    DispatchQueue.concurrentPerform(iterations: 8) { client in
      var random = SeededGenerator(seed: UInt64(client) + 900)
      for round in 0..<12 {
        var request = GenerationRequest(
          (0..<Int.random(in: 1...40, using: &random)).map { _ in Int32.random(in: 0..<61, using: &random) },
          max: Int.random(in: 1...30, using: &random), seed: UInt64(round))
        request.choices = Int.random(in: 1...3, using: &random)
        if client % 3 == 0 { request.stop.stopTokens = [7, 11, 13, 17] }
        guard let stream = try? engine.submit(request) else { continue }
        let patience = Int.random(in: 0...12, using: &random)
        var answer = Answer()
        var rounds = 0
        while let events = stream.next(timeoutMilliseconds: 1) {
          for event in events { answer.take(event) }
          rounds += 1
          if rounds == patience {
            if client % 2 == 0 { stream.cancel() } else { stream.finish(choice: 0) }
          }
        }
        var wrong = answer.disorder
        if answer.reasons.count != request.choices { wrong.append("\(answer.reasons)") }
        for (choice, tokens) in answer.tokens {
          let expected = try? HistoryModel.reference(request, choice: choice, vocabularySize: 61)
          if expected?.prefix(tokens.count).elementsEqual(tokens) != true { wrong.append("choice \(choice)") }
          if answer.reasons[choice] == .length, tokens.count != request.stop.maxTokens {
            wrong.append("short")
          }
        }
        counted.update { [wrong] in
          $0.ended += answer.reasons.count
          $0.wrong += wrong
        }
      }
    }
    let (ended, wrong) = counted.withLock { $0 }
    #expect(wrong.isEmpty)
    let statistics = engine.statistics()
    #expect(statistics.finishedRequests.values.reduce(0, +) == UInt64(ended))
    #expect(statistics.runningRequests == 0 && statistics.kvCacheUsage == 0)
    engine.stop()
    #expect(hooks.snapshot.breaches.isEmpty)
    #expect(log.overlaps > 0)
  }

  @Test func `an engine stopped with a step in flight ends everybody`() throws {
    let hooks = HistoryModel.Hooks(paused: true)
    let engine = try Engine.history(hooks, device: HistoryDevice.Log())
    let stream = try engine.submit(GenerationRequest([1, 2, 3], max: 400))
    hooks.allow(5)
    hooks.waitUntilBlocked()
    DispatchQueue.concurrentPerform(iterations: 2) { index in
      if index == 0 { engine.stop() } else { hooks.resume() }
    }
    #expect(Answer(stream).reasons[0] == .aborted || Answer(stream).reasons.isEmpty)
  }
}
