import CPUBackend
import Checkpoints
import Models
import Scheduling
import TestSupport
import Testing

@testable import Generation

/// A stream's perplexity against the same tokens computed as one window, whose blocks all stay.
@Suite struct StreamPerplexityTests {
  private func graph(_ fixture: String, step: Int, length: Int, policy: KVRetention? = nil) throws
    -> ModelGraph
  {
    var limits = ModelLimits(maxBatchTokens: step, maxSequences: 1, maxModelLength: length, maxLogitRows: 32)
    limits.policy = policy
    return try ModelGraph(
      checkpoint: try Checkpoint.open(Fixtures.path(fixture)), backend: CPUBackend(threads: 1), limits: limits
    )
  }

  private func tokens(_ count: Int, below limit: Int = 512) -> [Int32] {
    var random = SeededGenerator(seed: 12)
    return (0..<count).map { _ in Int32.random(in: 4..<Int32(limit), using: &random) }
  }

  @Test(
    "A stream read in pieces is the text computed at once, and holds no more blocks than its queries see",
    arguments: [
      ("tiny/llama", nil), ("tiny/llama", KVRetention(sinks: 4, window: 32)),
      ("tiny/llama", KVRetention(window: 24)),
      ("tiny/bloom", KVRetention(sinks: 2, window: 16)), ("families/mistral-window-16", nil),
      ("families/qwen2-window", nil),
    ] as [(String, KVRetention?)])
  func sameAsWindow(fixture: String, policy: KVRetention?) throws {
    let whole = try graph(fixture, step: 200, length: 200, policy: policy)
    let tokens = tokens(200, below: whole.configuration.vocabularySize)
    let scorer = try WindowScorer(graph: whole, longestWindow: 200)
    let expected = try #require(
      try Perplexity.measure(tokens, with: scorer, context: 200, stride: 200) { _, _ in true })
    for step in [7, 48] {
      let pieces = try graph(fixture, step: step, length: 200, policy: policy)
      let found = try #require(try StreamPerplexity.measure(tokens, with: pieces))
      #expect(found.scoredTokens == 199)
      #expect(abs(found.meanNegativeLogLikelihood - expected.meanNegativeLogLikelihood) < 1e-12)
      #expect(found.partMeans.count == 10)
      let groups = pieces.cacheGroups.groups
      #expect(found.blocksAtOnce <= groups.blocksAtOnce(for: 200, piece: step))
      if groups.isBounded { #expect(found.blocksAtOnce < 9) }
      if groups.count == 3 { #expect(found.blocksAtOnce < 2 * 13 + 5) }
    }
  }

  @Test("Stopped early it covers what was read; one token has nothing to score")
  func ends() throws {
    let pieces = try graph("tiny/llama", step: 16, length: 64)
    let part = try #require(try StreamPerplexity.measure(tokens(64), with: pieces) { $0 < 20 })
    #expect((20..<63).contains(part.scoredTokens))
    #expect(try StreamPerplexity.measure([5], with: pieces) == nil)
  }
}
