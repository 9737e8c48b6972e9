import CPUBackend
import Checkpoints
import Generation
import Glibc
import JSON
import Models
import Numerics
import TestSupport
import Testing
import Tokenizers

@Suite("Perplexity")
struct PerplexityTests {
  private static func graph(
    _ fixture: String, window: Int, rows: Int = 64, cacheType: DataType? = nil
  ) throws -> ModelGraph {
    try ModelGraph(
      checkpoint: try Checkpoint.open(Fixtures.path(fixture)), backend: CPUBackend(threads: 1),
      limits: ModelLimits(
        maxBatchTokens: max(window, 128), maxSequences: 8, maxModelLength: window, maxLogitRows: rows,
        cacheType: cacheType))
  }

  private static func scorer(
    _ fixture: String, window: Int, rows: Int = 64, cacheType: DataType? = nil
  ) throws -> WindowScorer {
    try WindowScorer(
      graph: graph(fixture, window: window, rows: rows, cacheType: cacheType), longestWindow: window)
  }

  private static func randomTokens(_ count: Int, vocabulary: Int, seed: UInt64) -> [Int32] {
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { _ in Int32.random(in: 0..<Int32(vocabulary), using: &generator) }
  }

  @Test(
    "logits of a window are the reference, whatever shares the step and however rows are cut",
    arguments: [1, 7, 64])
  func reference(rows: Int) throws {
    let file = try SafetensorsFile(path: Fixtures.path("tiny/llama/expected.safetensors"))
    let prompts = try (0..<3).map { try file.tensor("input_ids_\($0)").integers().map { Int32($0) } }
    let scorer = try Self.scorer("tiny/llama", window: prompts.map(\.count).max() ?? 1, rows: rows)
    let expected = try (0..<3).map { try file.tensor("logits_\($0)").floats() }
    var visited = 0
    for start in stride(from: 0, to: prompts.count, by: scorer.capacity) {
      let batch = prompts[start..<min(start + scorer.capacity, prompts.count)]
      try scorer.logits(of: batch) { window, position, logits in
        visited += 1
        let reference = expected[start + window]
        let scale = reference.map(abs).max() ?? 0
        for index in logits.indices {
          let difference = abs(logits[index] - reference[position * logits.count + index])
          #expect(difference <= 1e-3 * scale)
        }
      }
    }
    #expect(visited == prompts.map(\.count).reduce(0, +))
  }

  /// Scores each token by a window of its own: the definition, without any batching.
  @Test(
    "each token is scored once, by the window the protocol gives it",
    arguments: [(12, 12), (12, 5), (12, 1), (2, 2)])
  func protocolOfWindows(context: Int, stride: Int) throws {
    let tokens = Self.randomTokens(41, vocabulary: 512, seed: UInt64(context * 100 + stride))
    let scorer = try Self.scorer("tiny/llama", window: context)
    let result = try #require(
      try Perplexity.measure(tokens, with: scorer, context: context, stride: stride) { _, _ in true })

    var sum = 0.0
    var count = 0
    var start = 0
    while start + context <= tokens.count {
      let window = Array(tokens[start..<start + context])
      let first = start == 0 ? 1 : max(1, context - stride)
      try scorer.logits(of: [window]) { _, position, logits in
        guard position + 1 >= first, position + 1 < context else { return }
        sum += Perplexity.negativeLogLikelihood(of: window[position + 1], in: logits)
        count += 1
      }
      start += stride
    }
    #expect(result.scoredTokens == count)
    #expect(abs(result.meanNegativeLogLikelihood - sum / Double(count)) < 1e-12)
  }

  @Test("the negative log-likelihood survives large logits and equals the definition")
  func likelihood() {
    let logits: [Float] = [1, 2, 3]
    let total = logits.reduce(0.0) { $0 + exp(Double($1)) }
    #expect(abs(Perplexity.negativeLogLikelihood(of: 1, in: logits.span) - (log(total) - 2)) < 1e-12)
    let large: [Float] = [3e38, 0, -3e38]
    #expect(Perplexity.negativeLogLikelihood(of: 0, in: large.span) == 0)
  }

  @Test("a text shorter than a window has no perplexity, and a stop in between covers what was done")
  func limits() throws {
    let scorer = try Self.scorer("tiny/llama", window: 16)
    let tokens = Self.randomTokens(400, vocabulary: 512, seed: 9)
    #expect(
      try Perplexity.measure(Array(tokens[0..<15]), with: scorer, context: 16, stride: 16) { _, _ in true }
        == nil)
    let stopped = try #require(
      try Perplexity.measure(tokens, with: scorer, context: 16, stride: 16) { _, _ in false })
    #expect(stopped.windows == scorer.capacity)
    #expect(stopped.windowMeans.count == stopped.windows)
  }

  @Test("a window longer than the model's limit is refused")
  func tooLong() throws {
    let graph = try Self.graph("tiny/llama", window: 16)
    #expect(throws: ModelError.limit(name: "the window", found: 17, allowed: "from 1 to 16 tokens")) {
      try WindowScorer(graph: graph, longestWindow: 17)
    }
  }

  @Test("a cache of codes costs the demo little beside one of bfloat16")
  func codes() throws {
    let tokenizer = try Tokenizer.load(directory: Fixtures.path("demo"))
    let text = Array(try Fixtures.bytes("demo/valid.txt").prefix(16384))
    let tokens = Array(try tokenizer.encode(text, addSpecialTokens: false)[0..<1024])
    func likelihood(_ type: DataType) throws -> Double {
      let scorer = try Self.scorer("demo", window: 256, cacheType: type)
      let result = try Perplexity.measure(tokens, with: scorer, context: 256, stride: 256) { _, _ in true }
      return try #require(result).meanNegativeLogLikelihood
    }
    let reference = try likelihood(.bfloat16)
    for (type, bound) in [(DataType.int8, 1e-3), (.float8E4M3, 4e-3)] {
      let difference = try likelihood(type) - reference
      #expect(abs(difference) < bound, "\(type): \(difference)")
      #expect(difference != 0, "\(type) was not used")
    }
  }

  @Test("the demo's first windows have the reference's likelihoods")
  func demo() throws {
    let expected = try JSONValue.parse(Fixtures.bytes("demo/expected.json"))
    let means = try #require(expected["perplexity"]?["first_8_window_nll"]?.array).compactMap(\.double)
    let tokenizer = try Tokenizer.load(directory: Fixtures.path("demo"))
    let text = Array(try Fixtures.bytes("demo/valid.txt").prefix(8192))
    let tokens = try tokenizer.encode(text, addSpecialTokens: false)
    let scorer = try Self.scorer("demo", window: 256)
    let result = try #require(
      try Perplexity.measure(Array(tokens[0..<512]), with: scorer, context: 256, stride: 256) { _, _ in true }
    )
    #expect(result.scoredTokens == 510)
    for (mean, reference) in zip(result.windowMeans, means) { #expect(abs(mean - reference) < 1e-4) }
  }
}
