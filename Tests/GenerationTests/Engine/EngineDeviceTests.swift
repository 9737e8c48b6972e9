import Checkpoints
import Compute
import KernelBackend
import Models
import TestSupport
import Testing

@testable import Generation

/// The engine over real models on the emulated device: sampled there or on the host, step by step or overlapped.
@Suite struct EngineDeviceTests {
  private func engine(
    _ fixture: String, blocks: Int = 40, _ change: (inout EngineOptions) -> Void
  ) throws -> Engine {
    var options = EngineOptions()
    options.validateEachStep = true
    change(&options)
    let limits = ModelLimits(maxBatchTokens: 32, maxSequences: 8, maxModelLength: 96, maxLogitRows: 16)
    return try Engine.start(options) {
      try GraphModel(
        checkpoint: try Checkpoint.open(Fixtures.path(fixture)),
        backend: try KernelBackend(.emulated, workers: 1), limits: limits, blockCount: blocks)
    }
  }

  private var requests: [GenerationRequest] {
    var random = SeededGenerator(seed: 12)
    return (0..<9).map { index in
      var request = GenerationRequest(
        (0..<Int.random(in: 1...30, using: &random)).map { _ in Int32.random(in: 0..<100, using: &random) },
        max: Int.random(in: 2...14, using: &random), seed: UInt64(index),
        temperature: [0, 0.8, 1.3][index % 3])
      switch index {
      case 1: request.sampling.topK = 9
      case 2: request.sampling.topP = 0.8
      case 3: request.stop.stopTokens = Array(0..<60)
      case 4: request.logprobs = 3
      case 5: request.sampling.minP = 0.05
      case 6: request.sampling.logitBias = [7: 3, 9: -100]
      case 7: request.choices = 2
      default: break
      }
      return request
    }
  }

  private func answers(
    _ requests: [GenerationRequest], blocks: Int = 40, _ change: (inout EngineOptions) -> Void
  ) throws -> [Answer] {
    let engine = try engine("tiny/llama", blocks: blocks, change)
    defer { engine.stop() }
    let streams = try requests.map { try engine.submit($0) }
    let answers = streams.map { Answer($0) }
    #expect(engine.statistics().kvCacheUsage == 0)
    return answers
  }

  @Test func `the device's tokens are the host's, overlapped or not, preempted or not`() throws {
    var requests = requests
    let wanted = try answers(requests) { $0.samplesOnHost = true }
    #expect(wanted.allSatisfy { $0.disorder.isEmpty && !$0.tokens.isEmpty })
    var found = [try answers(requests) { $0.overlapsSteps = false }]
    found.append(try answers(requests) { _ in })
    found.append(try answers(requests, blocks: 9) { _ in })
    for answers in found {
      #expect(answers == wanted)
      for (found, wanted) in zip(answers[4].logprobs[0] ?? [], wanted[4].logprobs[0] ?? []) {
        let (found, wanted) = (try #require(found), try #require(wanted))
        #expect(found.top.map(\.token) == wanted.top.map(\.token) && found.chosen.rank == wanted.chosen.rank)
        #expect(abs(found.chosen.logprob - wanted.chosen.logprob) <= wanted.chosen.logprob.ulp)
      }
    }
    // With penalties, which count tokens that only the device knows; and with rows that the host scores.
    for index in requests.indices where index % 2 == 0 { requests[index].sampling.frequencyPenalty = 0.7 }
    requests[3].promptLogprobs = 1
    let onHost = try answers(requests) { $0.samplesOnHost = true }
    let onDevice = try answers(requests) { _ in }
    #expect(onDevice == onHost)
  }
}
