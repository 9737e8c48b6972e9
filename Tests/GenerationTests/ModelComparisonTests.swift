import CPUBackend
import Checkpoints
import Generation
import Glibc
import JSON
import Models
import TestSupport
import Testing

@Suite("Comparison of two models")
struct ModelComparisonTests {
  private static func scorer(_ fixture: String) throws -> WindowScorer {
    let graph = try ModelGraph(
      checkpoint: try Checkpoint.open(Fixtures.path(fixture)), backend: CPUBackend(threads: 1),
      limits: ModelLimits(maxBatchTokens: 64, maxSequences: 3, maxModelLength: 16, maxLogitRows: 16))
    return try WindowScorer(graph: graph, longestWindow: 16)
  }

  private static let windows = [9, 16, 2, 16, 7, 12].enumerated().map { index, count in
    var generator = SeededGenerator(seed: UInt64(index))
    return (0..<count).map { _ in Int32.random(in: 0..<512, using: &generator) }
  }

  /// Probabilities of each position of each window, one window a step, by the definition.
  private static func distributions(_ scorer: WindowScorer) throws -> [[[Double]]] {
    try windows.map { window in
      var rows: [[Double]] = []
      try scorer.logits(of: [window]) { _, _, logits in
        let weights = logits.indices.map { exp(Double(logits[$0])) }
        let sum = weights.reduce(0, +)
        rows.append(weights.map { $0 / sum })
      }
      return rows
    }
  }

  @Test func `divergence, agreement and likelihoods are those of the definition`() throws {
    let (reference, candidate) = (try Self.scorer("tiny/llama"), try Self.scorer("tiny/mistral"))
    let result = try #require(
      try ModelComparison.measure(Self.windows, reference: reference, candidate: candidate) { _ in true })
    let (p, q) = (try Self.distributions(reference), try Self.distributions(candidate))
    var all: [Double] = []
    var means: [Double] = []
    var (nllP, nllQ, same) = (0.0, 0.0, 0.0)
    for (index, window) in Self.windows.enumerated() {
      var sum = 0.0
      for position in 0..<window.count - 1 {
        let (left, right) = (p[index][position], q[index][position])
        let divergence = zip(left, right).reduce(0.0) { $0 + $1.0 * log($1.0 / $1.1) }
        all.append(divergence)
        sum += divergence
        nllP -= log(left[Int(window[position + 1])])
        nllQ -= log(right[Int(window[position + 1])])
        func top(_ row: [Double]) -> Int? { row.indices.max { row[$0] < row[$1] } }
        if top(left) == top(right) { same += 1 }
      }
      means.append(sum / Double(window.count - 1))
    }
    let count = Double(all.count)
    #expect(result.tokens == all.count && result.windows == Self.windows.count)
    #expect(abs(result.divergence.value - all.reduce(0, +) / count) < 1e-9)
    #expect(abs(result.reference.value - nllP / count) < 1e-9)
    #expect(abs(result.candidate.value - nllQ / count) < 1e-9)
    #expect(abs(result.difference.value - (nllQ - nllP) / count) < 1e-9)
    #expect(result.agreement.value == same / count)
    #expect(abs(result.divergence99 - all.sorted()[Int(count * 0.99)]) < 1e-9)
    // Six windows: five degrees of freedom.
    let middle = means.reduce(0, +) / 6
    let error = (means.reduce(0) { $0 + ($1 - middle) * ($1 - middle) } / 30).squareRoot()
    #expect(abs(try #require(result.divergence.standardError) - error) < 1e-9)
    #expect(abs(try #require(result.divergence.margin) - 2.5706 * error) < 1e-8)
    let interval = try #require(result.json["perplexity_interval_95"]?.array).compactMap(\.double)
    let margin = try #require(result.candidate.margin)
    #expect(interval == [exp(result.candidate.value - margin), exp(result.candidate.value + margin)])
  }

  @Test func `a model agrees with itself, and one window has no interval`() throws {
    let (left, right) = (try Self.scorer("tiny/llama"), try Self.scorer("tiny/llama"))
    let result = try #require(
      try ModelComparison.measure([Self.windows[1]], reference: left, candidate: right) { _ in true })
    #expect(result.divergence.value == 0 && result.agreement.value == 1 && result.difference.value == 0)
    #expect(result.divergence.margin == nil && result.json["perplexity_interval_95"]?.isNull == true)
    #expect(
      try ModelComparison.measure([[5]], reference: left, candidate: right) { _ in true } == nil,
      "nothing to score")
  }

  /// Tables of Student's distribution.
  @Test(arguments: [(1, 12.706), (10, 2.228), (11, 2.201), (15, 2.131), (30, 2.042), (100, 1.984)])
  func `quantiles of Student's distribution`(_ freedom: Int, _ expected: Double) {
    #expect(abs(ModelComparison.Mean.quantile(freedom: freedom) - expected) < 0.0011)
  }
}
