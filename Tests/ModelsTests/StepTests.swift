import CPUBackend
import Checkpoints
import Compute
import Models
import Numerics
import Scheduling
import TestSupport
import Testing

/// What a step enqueues, what it refuses, and what a trace sees of it.
@Suite struct StepTests {
  private static let decoderLayer = [
    "linear", "linear", "linear", "rope", "appendKV", "attention", "linear", "add+norm", "linear", "linear",
    "activation", "linear",
  ]

  @Test func `a step enqueues its operations and reserves nothing`() throws {
    let backend = SpyBackend()
    let runner = try ModelRunner(try Checkpoint.open(Fixtures.path("tiny/llama")), backend: backend)
    let plan = runner.plan([(0, [1, 2, 3])])
    for _ in 0..<2 {
      backend.forget()
      _ = try runner.graph.forward(plan, cache: runner.cache)
      #expect(
        backend.calls
          == ["upload", "embed", "norm"] + Self.decoderLayer + ["add+norm"] + Self.decoderLayer
          + ["gatherRows", "gatherRows", "add+norm", "linear"])
    }
  }

  @Test func `a parallel block adds both halves before the residual`() throws {
    let backend = SpyBackend()
    let runner = try ModelRunner(
      try Checkpoint.open(Fixtures.path("families/gpt-neox-parallel")), modelLength: 64, backend: backend)
    backend.forget()
    _ = try runner.graph.forward(runner.plan([(0, [1, 2, 3])]), cache: runner.cache)
    let layer = [
      "linear", "rope", "appendKV", "attention", "linear", "norm", "linear", "activation", "linear+=",
    ]
    #expect(
      backend.calls
        == ["upload", "embed", "norm"] + layer + ["add+norm"] + layer
        + ["gatherRows", "gatherRows", "add+norm", "linear"])
  }

  @Test(arguments: ["tiny/llama", "tiny/bloom", "tiny/gpt2"])
  func `a trace names every activation in order and changes nothing`(_ fixture: String) throws {
    let reference = try ModelRunner(fixture).logits([3, 1, 4, 1, 5])
    let runner = try ModelRunner(fixture)
    var seen: [TracePoint] = []
    var shapes: [TracePoint: [Int]] = [:]
    var traced: [Float] = []
    runner.graph.observer = { point, view in
      seen.append(point)
      shapes[point] = view.shape.array
      if point == .logits { traced = (try? runner.read(view)) ?? [] }
    }
    #expect(try runner.logits([3, 1, 4, 1, 5]) == reference)
    #expect(traced == reference)
    let absent: Set<TracePoint.LayerPoint> =
      fixture == "tiny/llama" ? [] : [.projectedQuery, .projectedKey, .gate]
    let layers = (0..<2).flatMap { layer in
      TracePoint.LayerPoint.allCases.filter { !absent.contains($0) }.map { TracePoint.layer(layer, $0) }
    }
    #expect(seen == [.embedding] + layers + [.finalNorm, .logits])
    let configuration = runner.graph.configuration
    #expect(shapes[.layer(1, .residual)] == [5, configuration.hiddenSize])
    #expect(shapes[.layer(1, .key)] == [5, configuration.keyValueWidth])
    #expect(shapes[.layer(0, .activated)] == [5, configuration.intermediateSize])
    #expect("\(TracePoint.layer(1, .feedForwardOutput))" == "layers.1.feed_forward_output")
    runner.graph.observer = nil
    seen = []
    _ = try runner.logits([3])
    #expect(seen.isEmpty)
  }

  // MARK: Refused plans

  struct BadPlan: Sendable, CustomTestStringConvertible {
    let name: String
    let change: @Sendable (inout StepPlan) -> Void
    let message: String
    var testDescription: String { name }
  }

  @Test(arguments: [
    BadPlan(name: "token", change: { $0.tokens[1] = 512 }, message: "tokens[1] is 512, outside 0..<512"),
    BadPlan(name: "negative token", change: { $0.tokens[0] = -1 }, message: "tokens[0] is -1"),
    BadPlan(
      name: "position", change: { $0.positions[2] = 64 }, message: "positions[2] is 64, outside 0..<64"),
    BadPlan(name: "slot", change: { $0.slots[2] = 4096 }, message: "slots[2] is 4096"),
    BadPlan(name: "negative slot", change: { $0.slots[2] = -2 }, message: "slots[2] is -2"),
    BadPlan(name: "block", change: { $0.blockTables[0] = 99 }, message: "blockTables[0] is 99"),
    BadPlan(name: "logit row", change: { $0.logitRows = [3] }, message: "logitRows[0] is 3, outside 0..<3"),
    BadPlan(
      name: "rows", change: { $0.logitRows = Array(repeating: 0, count: 9) },
      message: "logitRows has shape [9], expected at most 8 rows at once"),
    BadPlan(name: "positions", change: { $0.positions.removeLast() }, message: "positions has shape [2]"),
    BadPlan(name: "slots", change: { $0.slots.append(0) }, message: "slots has shape [4]"),
    BadPlan(name: "starts", change: { $0.queryStarts.removeLast() }, message: "queryStarts has shape [1]"),
    BadPlan(name: "last start", change: { $0.queryStarts[1] = 2 }, message: "queryStarts has shape [2]"),
    BadPlan(
      name: "first start", change: { $0.queryStarts[0] = 1 },
      message: "sequence 0 of the plan has 3 new tokens"),
    BadPlan(name: "context", change: { $0.contextLengths[0] = 2 }, message: "a context of 2"),
    BadPlan(name: "long context", change: { $0.contextLengths[0] = 65 }, message: "a context of 65"),
    BadPlan(name: "tables", change: { $0.blockTables.removeLast() }, message: "blockTables has shape [3]"),
    BadPlan(name: "stride", change: { $0.blockTableStride = .max }, message: "blockTables has shape"),
    BadPlan(
      name: "sequences",
      change: { plan in
        plan.contextLengths += [0, 0]
        plan.queryStarts += [3, 3]
        plan.blockTables += Array(repeating: 0, count: 8)
      }, message: "contextLengths has shape [3], expected at most 2"),
    BadPlan(
      name: "tokens",
      change: { $0.tokens = Array(repeating: 0, count: 33) },
      message: "tokens has shape [33], expected at most 32"),
  ])
  func `a plan that does not fit is refused before anything is enqueued`(_ bad: BadPlan) throws {
    let backend = SpyBackend()
    let runner = try ModelRunner(
      try Checkpoint.open(Fixtures.path("tiny/llama")), sequences: 2, maxTokens: 32, modelLength: 64,
      maxLogitRows: 8, backend: backend)
    var plan = runner.plan([(0, [1, 2, 3])])
    bad.change(&plan)
    backend.forget()
    let error = #expect(throws: KernelError.self) { try runner.graph.forward(plan, cache: runner.cache) }
    #expect("\(String(describing: error))".contains(bad.message), "\(String(describing: error))")
    #expect(backend.calls.isEmpty)
  }

  @Test func `an empty plan gives no rows`() throws {
    let runner = try ModelRunner("tiny/llama")
    #expect(try runner.graph.forward(StepPlan(), cache: runner.cache).rows == 0)
  }

  @Test func `a cache of another model is refused`() throws {
    let llama = try ModelRunner("tiny/llama")
    let gpt2 = try ModelRunner("tiny/gpt2")
    #expect(throws: KernelError.self) {
      try llama.graph.forward(llama.plan([(0, [1])]), cache: gpt2.cache)
    }
  }

  @Test func `logits of rows that the step does not have are refused`() throws {
    let runner = try ModelRunner("tiny/llama")
    #expect(throws: KernelError.self) { try runner.graph.logits(of: 0..<1) }
    try runner.graph.run(runner.plan([(0, [1, 2])]), cache: runner.cache)
    #expect(throws: KernelError.self) { try runner.graph.logits(of: 1..<3) }
    #expect(try runner.graph.logits(of: 1..<2).rows == 1)
  }
}
