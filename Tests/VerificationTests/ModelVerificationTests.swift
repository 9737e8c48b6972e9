import CPUBackend
import Checkpoints
import Compute
import JSON
import Models
import Numerics
import TestSupport
import Testing
import Verification

@Suite("Model verification")
struct ModelVerificationTests {
  private static let decoders = ["tiny/llama", "tiny/mistral", "tiny/qwen2", "tiny/gpt2", "tiny/bloom"]

  private func graph(
    _ fixture: String, _ backend: any Backend, cacheType: DataType? = nil
  ) throws -> ModelGraph {
    try ModelGraph(
      checkpoint: try Checkpoint.open(Fixtures.path(fixture)), backend: backend,
      limits: ModelLimits(
        maxBatchTokens: 64, maxSequences: 1, maxModelLength: 64, maxLogitRows: 64, cacheType: cacheType))
  }

  private func trace(_ fixture: String, _ candidate: RoundingCandidate) throws -> [LayerTrace.Row] {
    let type = candidate.activationType
    let reference = RoundedBackend(CPUBackend(threads: 1), weightType: type)
    return try LayerTrace(
      reference: try graph(fixture, reference, cacheType: type), candidate: try graph(fixture, candidate)
    ).run((0..<23).map { Int32($0 * 7 % 90) + 3 })
  }

  @Test(arguments: decoders)
  func `rounding alone passes layer by layer`(_ fixture: String) throws {
    for type in [DataType.bfloat16, .float16] {
      let rows = try trace(fixture, RoundingCandidate(type))
      for row in rows { #expect(!row.isBreach, "\(type) \(row)") }
      // A prompt and two decodes, each through all points.
      #expect(rows.count % 3 == 0)
      #expect(rows.count(where: { $0.step == "decode" }) == rows.count / 3 * 2)
    }
  }

  @Test(arguments: [
    ("embed", "embedding"), ("residual", "layers.0.middle_residual"), ("norm", "layers.0.attention_norm"),
    ("linear", "layers.0.projected_query"), ("rope", "layers.0.query"), ("attention", "layers.0.attention"),
    ("activation", "layers.0.activated"),
  ])
  func `the first wrong operation is named`(_ operation: String, _ point: String) throws {
    let candidate = RoundingCandidate(.bfloat16)
    candidate.fault = { name, values in
      if name == operation { values[values.count / 2] += 0.75 * (values.map(abs).max() ?? 0) }
    }
    let first = try trace("tiny/llama", candidate).first(where: \.isBreach)
    #expect(first.map { "\($0.point)" } == point)
  }

  @Test(arguments: decoders)
  func `tokens of a right candidate stay within the gap`(_ fixture: String) throws {
    let comparison = GreedyComparison(
      reference: try graph(fixture, CPUBackend(threads: 1)),
      candidate: try graph(fixture, RoundingCandidate(.bfloat16)))
    let row = try comparison.run([5, 17, 3, 40, 8], count: 12)
    #expect(!row.isBreach)
    #expect(row.tokens.count == 12)
    #expect(row.meanDivergence < 0.01)
    #expect(row.greatestLogitError > 0)
  }

  @Test
  func `a candidate with a wrong kernel writes tokens that the reference does not believe`() throws {
    let candidate = RoundingCandidate(.bfloat16)
    candidate.fault = { name, values in if name == "attention" { values = values.map { -8 * $0 } } }
    let comparison = GreedyComparison(
      reference: try graph("demo", CPUBackend(threads: 1)), candidate: try graph("demo", candidate))
    let row = try comparison.run([5, 17, 3, 40, 8], count: 8)
    #expect(row.isBreach)
    #expect(row.differences.contains { $0.gap > GreedyComparison.allowedGap })
  }

  @Test
  func `a logit that is not finite is a breach`() throws {
    let candidate = RoundingCandidate(.bfloat16)
    candidate.fault = { name, values in if name == "norm" { values[0] = .nan } }
    let comparison = GreedyComparison(
      reference: try graph("tiny/llama", CPUBackend(threads: 1)),
      candidate: try graph("tiny/llama", candidate))
    let row = try comparison.run([5, 17], count: 2)
    #expect(!row.isFinite && row.isBreach)
  }

  @Test
  func `the report names breaches in text and JSON`() throws {
    let candidate = RoundingCandidate(.bfloat16)
    candidate.fault = { name, values in if name == "rope" { values[0] += 100 } }
    var report = VerificationReport(
      reference: "cpu", candidate: "rounding", elementType: "bfloat16", model: "tiny/llama")
    report.layers = try trace("tiny/llama", candidate)
    report.operations = try OperationSweep(reference: CPUBackend(threads: 1), candidate: candidate)
      .run(OperationSweep.cases.filter { $0.operation == .rope || $0.operation == .add })
    #expect(report.breaches > 0)
    #expect(report.text.contains("first bad activation: layers.0.query (prompt), computed by rope"))
    #expect(report.text.contains("FAILED"))
    let document = try JSONValue.parse(report.json)
    #expect(document["passed"]?.bool == false)
    #expect(document["first_bad_activation"]?.string == "layers.0.query")
    #expect(document["operations"]?.array?.count == report.operations.count)
    report.layers = []
    report.operations.removeAll { $0.operation == .rope }
    #expect(report.breaches == 0)
    #expect(report.text.contains("passed: \(report.operations.count) checks"))
  }
}
