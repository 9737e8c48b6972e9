import CPUBackend
import Checkpoints
import Models
import Scheduling
import TestSupport
import Testing

/// Attention sinks against StreamingLLM as the paper describes it, in double precision (Scripts/goldens/sinks.py).
@Suite("Attention sinks")
struct SinksTests {
  private func runner(_ fixture: String, _ policy: KVRetention?) throws -> ModelRunner {
    try ModelRunner(try Checkpoint.open(Fixtures.path(fixture)), policy: policy)
  }

  @Test("Streams have the logits of the paper's cache, however they are cut", arguments: ["llama", "bloom"])
  func golden(family: String) throws {
    let golden = try SafetensorsText("sinks/\(family).safetensors")
    let numbers = try golden.integers("policy")
    let policy = KVRetention(sinks: Int(numbers[0]), window: Int(numbers[1]))
    let tokens = try golden.integers("tokens")
    let positions = try golden.integers("positions")
    let expected = try golden.floats("logits")
    let largest = expected.map(abs).max() ?? 0
    var whole: [Float] = []
    for piece in [tokens.count, 1, 7, 33] {
      let runner = try runner("tiny/" + family, policy)
      var logits: [Float] = []
      for start in stride(from: 0, to: tokens.count, by: piece) {
        logits += try runner.step([(0, Array(tokens[start..<min(start + piece, tokens.count)]))])[0]
      }
      if whole.isEmpty { whole = logits } else { #expect(logits == whole, "pieces of \(piece)") }
    }
    var error: Float = 0
    for (index, position) in positions.enumerated() {
      for token in 0..<512 {
        error = max(error, abs(whole[Int(position) * 512 + token] - expected[index * 512 + token]))
      }
    }
    #expect(error <= 1e-5 * largest, "\(error) of \(largest)")
  }

  @Test("As long as nothing is left out it is the plain model", arguments: ["tiny/llama", "tiny/bloom"])
  func nothingLeftOut(fixture: String) throws {
    let tokens = (0..<60).map { Int32($0 * 37 % 500 + 4) }
    let plain = try runner(fixture, nil).step([(0, tokens)])[0]
    let sinks = try runner(fixture, KVRetention(sinks: 4, window: 56)).step([(0, tokens)])[0]
    let largest = plain.map(abs).max() ?? 0
    for index in plain.indices { #expect(abs(plain[index] - sinks[index]) <= 1e-5 * largest) }
    let fewer = try runner(fixture, KVRetention(sinks: 3, window: 56)).step([(0, tokens)])[0]
    #expect(Array(fewer[..<(59 * 512)]) == Array(sinks[..<(59 * 512)]))
    #expect(fewer.suffix(512) != sinks.suffix(512))
  }

  @Test("Models that cannot be numbered anew refuse")
  func refused() throws {
    #expect(
      throws: ModelError.policy(reason: "it has a table of learned positions, which cannot be counted anew")
    ) {
      try runner("tiny/gpt2", KVRetention(sinks: 4, window: 32))
    }
    // At the length that a stream may have by default it is the policy that does not suit, not the length.
    var limits = ModelLimits(maxBatchTokens: 16, maxSequences: 1, maxModelLength: 1 << 20, maxLogitRows: 1)
    limits.policy = KVRetention(sinks: 4, window: 32)
    do {
      _ = try ModelGraph(
        checkpoint: try Checkpoint.open(Fixtures.path("tiny/gpt2")), backend: CPUBackend(threads: 1),
        limits: limits)
      Issue.record("it was taken")
    } catch {
      guard case .policy? = error as? ModelError else {
        Issue.record("\(error)")
        return
      }
    }
    #expect(throws: ModelError.policy(reason: "it has sliding windows of its own")) {
      try runner("families/mistral-window-16", KVRetention(sinks: 4, window: 32))
    }
  }
}
