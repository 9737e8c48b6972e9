import Foundation
import TestSupport
import Testing

@testable import Generation

@Suite struct EngineStressTests {
  @Test("Clients on many threads that submit, read, finish and cancel at random leave nothing behind")
  func manyClients() throws {
    let hooks = HistoryModel.Hooks()
    let engine = try Engine.history(hooks, blocks: 40, batch: 64, sequences: 24)
    let clients = 8
    let counted = Monitor((ended: 0, wrong: [String]()))
    DispatchQueue.concurrentPerform(iterations: clients) { client in
      var random = SeededGenerator(seed: UInt64(client))
      for round in 0..<12 {
        var request = GenerationRequest(
          (0..<Int.random(in: 1...40, using: &random)).map { _ in Int32.random(in: 0..<61, using: &random) },
          max: Int.random(in: 1...30, using: &random), seed: UInt64(round))
        request.choices = Int.random(in: 1...3, using: &random)
        guard let stream = try? engine.submit(request) else { continue }
        let patience = Int.random(in: 0...12, using: &random)
        var answer = Answer()
        var rounds = 0
        while let events = stream.next(timeoutMilliseconds: 1) {
          for event in events { answer.take(event) }
          rounds += 1
          if rounds == patience {
            switch client % 4 {
            case 0: stream.cancel()
            case 1: stream.finish(choice: 0)
            case 2: _ = engine.statistics()
            default: break
            }
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
  }

  @Test("Stopping while clients submit and read loses nobody")
  func stopWhileBusy() throws {
    for round in 0..<8 {
      let engine = try Engine.history()
      DispatchQueue.concurrentPerform(iterations: 4) { client in
        if client == 3 {
          if round % 2 == 0 { engine.drain(timeoutMilliseconds: 0) }
          engine.stop()
          return
        }
        for _ in 0..<10 {
          guard let stream = try? engine.submit(GenerationRequest([1, 2, 3], max: 50)) else { return }
          if round % 3 == 0 { stream.cancel() }
          let answer = Answer(stream)
          if answer.reasons.count != 1 { Issue.record("a stream without an end") }
        }
      }
    }
  }

  @Test("The engine's own work is measured phase by phase")
  func benchmark() throws {
    var benchmark = EngineBenchmark()
    benchmark.sequences = 4
    benchmark.steps = 5
    benchmark.warmUpSteps = 2
    let report = try benchmark.run()
    #expect(report.steps == 5 && report.sequences == 4)
    #expect(report.schedule > 0 && report.postprocess > 0 && report.host < report.worst * 5 + 1)
  }
}
