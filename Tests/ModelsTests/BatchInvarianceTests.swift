import CPUBackend
import Checkpoints
import Compute
import Models
import Numerics
import Scheduling
import TestSupport
import Testing

/// A row's bits depend on its own sequence only: not on chunks, not on what else is in the step.
@Suite struct BatchInvarianceTests {
  private static let models = [
    "tiny/llama", "tiny/mistral", "tiny/gpt2", "tiny/bloom", "tiny/qwen2", "families/qwen2-window",
    "families/gpt-neox-parallel", "families/bloom-5-heads",
  ]

  @Test(arguments: models, [1, 2])
  func `prompts in random pieces beside others give the bits of a run alone`(
    _ model: String, _ seed: UInt64
  ) throws {
    try compare(model, seed: seed, products: .float32)
  }

  @Test(arguments: ["tiny/llama", "tiny/gpt2"], [1, 2])
  func `so they do in bfloat16`(_ model: String, _ seed: UInt64) throws {
    try compare(model, seed: seed, products: .bfloat16)
  }

  private func compare(_ model: String, seed: UInt64, products: DataType) throws {
    var generator = SeededGenerator(seed: seed)
    let checkpoint = try Checkpoint.open(Fixtures.path(model))
    let vocabulary = try ModelRegistry.configuration(from: checkpoint.configuration).vocabularySize
    let prompts = [1, 16, 17, 63].map { length in
      (0..<length).map { _ in Int32.random(in: 0..<Int32(vocabulary), using: &generator) }
    }
    let alone = try prompts.map {
      let backend = CPUBackend(threads: 1, productType: products)
      return try ModelRunner(checkpoint, modelLength: 64, backend: backend).logits($0)
    }

    let backend = CPUBackend(threads: seed == 1 ? 1 : 2, productType: products)
    let runner = try ModelRunner(checkpoint, sequences: prompts.count, modelLength: 64, backend: backend)
    var together = prompts.map { _ in [Float]() }
    while let work = randomWork(prompts, runner.sequences.map(\.count), &generator) {
      for (piece, logits) in zip(work, try runner.step(work)) { together[piece.sequence] += logits }
    }
    for (index, prompt) in prompts.enumerated() {
      #expect(together[index].map(\.bitPattern) == alone[index].map(\.bitPattern), "\(prompt.count) tokens")
    }
  }

  /// Some of the unfinished sequences in random order, each with a random piece of its rest; nil when all are done.
  private func randomWork(
    _ prompts: [[Int32]], _ done: [Int], _ generator: inout SeededGenerator
  ) -> [(sequence: Int, tokens: [Int32])]? {
    let open = prompts.indices.filter { done[$0] < prompts[$0].count }.shuffled(using: &generator)
    if open.isEmpty { return nil }
    return open.prefix(Int.random(in: 1...open.count, using: &generator)).map { sequence in
      let rest = prompts[sequence][done[sequence]...]
      return (sequence, Array(rest.prefix(Int.random(in: 1...20, using: &generator))))
    }
  }

  @Test func `logits read in pieces have the bits of logits read at once`() throws {
    let checkpoint = try Checkpoint.open(Fixtures.path("tiny/llama"))
    let tokens = (0..<23).map { Int32($0 * 7 % 512) }
    let atOnce = try ModelRunner(checkpoint, modelLength: 64).logits(tokens)

    let runner = try ModelRunner(checkpoint, modelLength: 64, maxLogitRows: 5)
    try runner.graph.run(runner.plan([(0, tokens)]), cache: runner.cache)
    var pieces: [Float] = []
    for start in stride(from: 0, to: tokens.count, by: 5) {
      pieces += try runner.read(try runner.graph.logits(of: start..<min(start + 5, tokens.count)))
    }
    #expect(pieces.map(\.bitPattern) == atOnce.map(\.bitPattern))
  }

  @Test func `only the wanted rows are computed, in their order`() throws {
    let runner = try ModelRunner("tiny/llama", modelLength: 64)
    let tokens = (0..<23).map { Int32($0 * 7 % 512) }
    let all = try runner.logits(tokens)
    let other = try ModelRunner("tiny/llama", modelLength: 64)
    var plan = other.plan([(0, tokens)])
    plan.logitRows = [22, 3, 3]
    let view = try other.graph.forward(plan, cache: other.cache)
    #expect(view.shape.array == [3, 512])
    let rows = try other.read(view)
    for (place, row) in [22, 3, 3].enumerated() {
      #expect(rows[(place * 512)..<((place + 1) * 512)] == all[(row * 512)..<((row + 1) * 512)])
    }
  }

  @Test func `a step without wanted rows still fills the cache`() throws {
    let reference = try ModelRunner("tiny/gpt2", modelLength: 64).logits([5, 6, 7])
    let runner = try ModelRunner("tiny/gpt2", modelLength: 64)
    var plan = runner.plan([(0, [5, 6])])
    plan.logitRows = []
    #expect(try runner.graph.forward(plan, cache: runner.cache).shape.array == [0, 512])
    plan = runner.plan([(0, [5, 6, 7])])
    plan.tokens = [7]
    plan.positions = [2]
    plan.slots = [plan.slots[2]]
    plan.queryStarts = [0, 1]
    plan.logitRows = [0]
    #expect(
      try runner.read(try runner.graph.forward(plan, cache: runner.cache)) == Array(reference.suffix(512)))
  }
}
