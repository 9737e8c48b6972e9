import CPUBackend
import Checkpoints
import Compute
import Glibc
import KernelBackend
import Models
import TestSupport
import Testing
import Tokenizers

@testable import Generation

/// The demo model with each way to speculate: on the CPU 200 prompts greedy and 64 sampled, alone and 32 at a time, and some
/// on emulated kernels, where `GPUINFER_SPECULATION_PROMPTS=200` asks for as many (an hour).
@Suite struct SpeculationDemoTests {
  /// Pieces of the validation text of different lengths.
  private static func prompts() throws -> [[Int32]] {
    let text = String(decoding: try Fixtures.bytes("demo/valid.txt"), as: UTF8.self)
    let tokenizer = try Tokenizer.load(directory: Fixtures.path("demo"))
    let tokens = try tokenizer.encode(String(text.prefix(40_000)))
    var random = SeededGenerator(seed: 200)
    return (0..<200).map { _ in
      let length = Int.random(in: 4...60, using: &random)
      let start = Int.random(in: 0..<tokens.count - length, using: &random)
      return [0] + tokens[start..<start + length]
    }
  }

  private func engine(
    _ method: SpeculationSettings.Method?, sequences: Int, drafts: Int = 4,
    on makeBackend: @escaping @Sendable () throws -> any Backend = { CPUBackend(threads: 2) }
  ) throws -> Engine {
    let limits = ModelLimits(
      maxBatchTokens: 256, maxSequences: sequences, maxModelLength: 128, maxLogitRows: 256)
    let draft = ModelLimits(
      maxBatchTokens: 256, maxSequences: sequences, maxModelLength: 128, maxLogitRows: sequences)
    var options = EngineOptions()
    options.validateEachStep = true
    if let method {
      var settings = SpeculationSettings(method, maxDrafts: drafts)
      settings.adapts = false
      options.speculation = SpeculationOptions(settings) { target in
        switch method {
        case .ngram(let settings): return PromptLookup(settings)
        case .suffix(let settings): return SuffixCache(settings)
        case .draftModel(let path):
          let target = try #require(target as? GraphModel)
          return DraftModel(
            try GraphModel(
              checkpoint: try Checkpoint.open(path), backend: target.graph.backend, limits: draft,
              blockCount: 8 * sequences))
        }
      }
    }
    return try Engine.start(options) {
      try GraphModel(
        checkpoint: try Checkpoint.open(Fixtures.path("demo")), backend: makeBackend(), limits: limits,
        blockCount: 8 * sequences)
    }
  }

  private static let methods: [SpeculationSettings.Method] = [
    .ngram(PromptLookupSettings()), .suffix(SuffixSettings()), .draftModel(path: Fixtures.path("demo-draft")),
  ]

  private func answers(_ engine: Engine, _ requests: [GenerationRequest], atOnce: Int) throws -> [[Int32]] {
    var found: [[Int32]] = []
    for start in stride(from: 0, to: requests.count, by: atOnce) {
      let streams = try requests[start..<min(start + atOnce, requests.count)].map { try engine.submit($0) }
      found += streams.map { Answer($0).tokens[0] ?? [] }
    }
    return found
  }

  @Test("Any speculation gives the tokens of none", arguments: [(Float(0), 200), (0.8, 64)])
  func sameTokens(temperature: Float, count: Int) throws {
    let requests = try Self.prompts().prefix(count).enumerated().map {
      GenerationRequest($1, max: 16, seed: UInt64($0), temperature: temperature)
    }
    let plain = try engine(nil, sequences: 32)
    let expected = try answers(plain, requests, atOnce: 32)
    plain.stop()
    for method in Self.methods {
      for atOnce in [1, 32] {
        let engine = try engine(method, sequences: atOnce)
        #expect(try answers(engine, requests, atOnce: atOnce) == expected, "\(method), \(atOnce) at once")
        let counts = try #require(engine.statistics().speculation)
        // 1,024 sampled tokens of a novel need not repeat three of them.
        #expect(counts.acceptedTokens > 0 || temperature > 0)
        #expect(counts.draftTokens > 0 && counts.acceptedTokens < counts.draftTokens)
        if case .draftModel = method {
          // The two models agree on 0.49 of the most likely tokens; drawing with the same noise keeps that up.
          let first = Double(counts.acceptedByPosition[0]) / Double(counts.verifications)
          #expect((0.4...0.75).contains(first), "\(first)")
        }
        engine.stop()
      }
    }
  }

  /// A step that verifies drafts goes through the same kernels as one that decodes, with as many rows more.
  @Test("Any speculation gives the tokens of none on emulated kernels", arguments: 0..<3)
  func sameTokensEmulated(method: Int) throws {
    let asked = unsafe getenv("GPUINFER_SPECULATION_PROMPTS").flatMap { unsafe Int(String(cString: $0)) }
    let (count, tokens) = (asked ?? 4, asked == nil ? 6 : 16)
    let method = Self.methods[method]
    // Said twice, so that lookups find something from the first token on.
    let requests = try Self.prompts().prefix(count).enumerated().map { index, prompt in
      GenerationRequest(
        Array(prompt.prefix(12) + prompt.prefix(16).dropFirst()), max: tokens, seed: UInt64(index),
        temperature: 0)
    }
    let backend: @Sendable () throws -> any Backend = { try KernelBackend(.emulated, workers: 2) }
    let plain = try engine(nil, sequences: 32, on: backend)
    let expected = try answers(plain, requests, atOnce: 32)
    plain.stop()
    for (atOnce, drafts) in [(32, 4), (1, 2)] {
      let engine = try engine(method, sequences: atOnce, drafts: drafts, on: backend)
      #expect(try answers(engine, requests, atOnce: atOnce) == expected, "\(method), \(atOnce) at once")
      let counts = try #require(engine.statistics().speculation)
      #expect(counts.draftTokens > 0 && counts.acceptedTokens < counts.draftTokens)
      engine.stop()
    }
  }
}
