import Checkpoints
import Compute
import KernelBackend
import Models
import Numerics
import Scheduling
import TestSupport
import Testing

/// Whole models through the CUDA kernels under their emulation, against transformers in float32.
@Suite struct EmulatedModelTests {
  /// Every norm, position scheme, activation, block form and mask that the families have, and heads of 4, 6 and 12
  /// components, which the tensor core kernels leave to the plain ones.
  static let fixtures = [
    "tiny/llama", "tiny/mistral", "tiny/gpt2", "tiny/bloom", "tiny/qwen2", "families/llama-rope-yarn",
    "families/llama-biases", "families/bloom-3-heads", "families/bloom-12-heads", "families/gpt2-odd",
    "families/gpt-neox-parallel", "families/llama-mqa-tied", "families/mistral-window-5",
    "families/qwen2-window", "families/llama-sink-logits",
  ]

  @Test(arguments: fixtures, DataType.sixteenBit)
  func `logits are those of transformers but for rounding`(_ fixture: String, _ type: DataType) throws {
    let golden = try Golden(fixture)
    let checkpoint = try Checkpoint.open(golden.directory)
    for prompt in golden.prompts.prefix(1) {
      let configuration = try ModelRegistry.configuration(from: checkpoint.configuration)
      let length = prompt.modelLength ?? min(configuration.maxPositions, 256)
      let backend = try KernelBackend(.emulated, activationType: type, workers: 2)
      let runner = try ModelRunner(checkpoint, modelLength: length, backend: backend)
      let logits = try runner.logits(prompt.tokens)
      let deviation = Deviation(logits, prompt.logits, vocabulary: runner.vocabulary)
      // Two layers round about twenty times on the way of a value, each time by up to 2⁻⁸ (bfloat16) or 2⁻¹¹ (float16)
      // of it; found: at most 0.036 and 0.0047 of the greatest logit.
      #expect(deviation.relative < (type == .bfloat16 ? 0.06 : 0.06 / 8), "\(deviation.relative)")
    }
  }

  /// Written by the formats' own tools; what the file holds is multiplied as it is, or widened with a reason.
  static let quantised: [(fixture: String, isPacked: Bool)] = [
    ("gptq-4bit", true), ("gptq-4bit-asym", true), ("gptq-gpt2", true), ("gptq-bloom", true),
    ("awq-gemm", true), ("awq-gemv", true), ("ct-w4a16", true), ("ct-w4a16-asym-act-order", true),
    ("gptq-2bit-v2", true), ("gptq-3bit-v2-act-order", true), ("gptq-8bit-channel", true), ("bnb-nf4", false),
    ("bnb-int8", true), ("ct-w8a8", true), ("ct-fp8-dynamic", true), ("ct-fp8-static", true),
  ]

  @Test(arguments: quantised)
  func `quantised logits are those of transformers but for rounding`(
    _ fixture: String, _ isPacked: Bool
  ) throws {
    let golden = try Golden("quantized/" + fixture)
    let checkpoint = try Checkpoint.open(golden.directory)
    let prompt = try #require(golden.prompts.first)
    let backend = try KernelBackend(.emulated, activationType: .float16, workers: 2)
    let runner = try ModelRunner(checkpoint, modelLength: 32, backend: backend)
    let packs = try #require(backend.library.variants(of: .repack).first)
    #expect(backend.hasLaunched(packs) == isPacked)
    let found = try runner.logits(prompt.tokens)
    let reference = try ModelRunner(checkpoint, modelLength: 32).logits(prompt.tokens)
    // An activation that is rounded to int8 may land on the next code: 1/127 of the largest of its row. Found: 0.021.
    // Of E4M3 codes the next one is up to 1/8 away.
    let roundsActivations = ["bnb-int8", "ct-w8a8", "ct-fp8-dynamic", "ct-fp8-static"].contains(fixture)
    for wanted in [prompt.logits, reference] {
      let deviation = Deviation(found, wanted, vocabulary: runner.vocabulary)
      #expect(deviation.relative < (roundsActivations ? 0.04 : 0.06 / 8), "\(deviation.relative)")
    }
  }

  @Test func `a quantised sequence gives the same bits alone and among others`() throws {
    try compareAloneAndAmongOthers("quantized/ct-w4a16-asym-act-order")
  }

  @Test func `a sequence gives the same bits alone and among others`() throws {
    try compareAloneAndAmongOthers("tiny/llama")
  }

  private func compareAloneAndAmongOthers(_ fixture: String) throws {
    let checkpoint = try Checkpoint.open(Fixtures.path(fixture))
    let prompts: [[Int32]] = [[5, 9, 20, 7, 31], [8], [30, 2, 2, 40, 41, 42, 43, 11, 6], [17, 3]]
    let backend = try KernelBackend(.emulated, workers: 2)
    let together = try ModelRunner(checkpoint, sequences: prompts.count, backend: backend)
    // A prompt of one token is decode's, and so are all later tokens; the first step has both kinds.
    var found = try together.step(prompts.indices.map { ($0, prompts[$0]) })
    let more = try together.step(prompts.indices.map { ($0, [Int32($0 + 20)]) })
    for index in prompts.indices { found[index] += more[index] }
    for (index, prompt) in prompts.enumerated() {
      let alone = try ModelRunner(checkpoint, backend: KernelBackend(.emulated))
      let logits = try alone.logits(prompt) + alone.step([(0, [Int32(index + 20)])])[0]
      #expect(logits.map(\.bitPattern) == found[index].map(\.bitPattern), "sequence \(index)")
    }
  }

  @Test(arguments: ["llama", "bloom"])
  func `streams with attention sinks have the logits of the paper's cache but for rounding`(
    _ family: String
  ) throws {
    let golden = try SafetensorsText("sinks/\(family).safetensors")
    let numbers = try golden.integers("policy")
    let tokens = try golden.integers("tokens")
    let expected = try golden.floats("logits")
    let runner = try ModelRunner(
      try Checkpoint.open(Fixtures.path("tiny/" + family)),
      policy: KVRetention(sinks: Int(numbers[0]), window: Int(numbers[1])),
      backend: KernelBackend(.emulated, activationType: .float16, workers: 2))
    // Prompts in pieces, then one token at a time: what prefill computes, and what decode does.
    var logits: [Float] = []
    var start = 0
    for piece in [90, 30] + Array(repeating: 1, count: tokens.count - 120) {
      logits += try runner.step([(0, Array(tokens[start..<start + piece]))])[0]
      start += piece
    }
    let largest = expected.map(abs).max() ?? 0
    var error: Float = 0
    for (index, position) in try golden.integers("positions").enumerated() {
      for token in 0..<512 {
        error = max(error, abs(logits[Int(position) * 512 + token] - expected[index * 512 + token]))
      }
    }
    #expect(error <= 0.06 / 8 * largest, "\(error / largest) of the greatest logit")
  }

  @Test func `the demo model gives the greedy tokens of the CPU`() throws {
    let checkpoint = try Checkpoint.open(Fixtures.path("demo"))
    let prompt: [Int32] = [0, 312, 78, 1500, 9, 2047]
    let emulated = try ModelRunner(
      checkpoint, maxTokens: 16, modelLength: 64, maxLogitRows: 16,
      backend: KernelBackend(.emulated, workers: 2))
    let reference = try ModelRunner(checkpoint, maxTokens: 16, modelLength: 64, maxLogitRows: 16)
    #expect(try emulated.greedy(prompt, count: 12) == reference.greedy(prompt, count: 12))
  }

  @Test func `replayed steps give the bits of computed ones`() throws {
    let checkpoint = try Checkpoint.open(Fixtures.path("tiny/qwen2"))
    func runner() throws -> ModelRunner {
      try ModelRunner(checkpoint, sequences: 5, modelLength: 40, backend: KernelBackend(.emulated))
    }
    let (recorded, computed) = (try runner(), try runner())
    // A graph that is watched records nothing.
    computed.graph.observer = { _, _ in }
    let prompts: [[Int32]] = [[5, 9], [8, 1, 3], [300, 2, 2, 40, 41, 42], [77], [6, 6]]
    var generator = SeededGenerator(seed: 8)
    for sequence in prompts.indices {
      _ = try recorded.step([(sequence, prompts[sequence])])
      _ = try computed.step([(sequence, prompts[sequence])])
    }
    // Five run in the shape of five, which is the limit, and three in that of four.
    for count in [5, 3, 5, 3, 3, 5, 1, 3, 1, 1, 5] {
      let work = Array(prompts.indices.shuffled(using: &generator).prefix(count)).map {
        (sequence: $0, tokens: [Int32.random(in: 0..<100, using: &generator)])
      }
      let (found, wanted) = (try recorded.step(work), try computed.step(work))
      #expect(found.map { $0.map(\.bitPattern) } == wanted.map { $0.map(\.bitPattern) }, "\(count)")
    }
    #expect(recorded.graph.recordedShapes == 3)
    #expect(computed.graph.recordedShapes == 0)
  }
  @Test func `tokens that only the device knows give the bits of those that are sent`() throws {
    let checkpoint = try Checkpoint.open(Fixtures.path("tiny/llama"))
    let backend = try KernelBackend(.emulated)
    let sent = try ModelRunner(checkpoint, sequences: 4, modelLength: 40, backend: backend)
    let fed = try ModelRunner(checkpoint, sequences: 4, modelLength: 40, backend: backend)
    let storage = try backend.allocate(byteCount: 4 * 6)
    let sampled = unsafe TensorView(address: storage.address, shape: Shape(6), dataType: .int32)
    fed.graph.sampledTokens = ModelGraph.SampledTokens(backend, sampled)
    var generator = SeededGenerator(seed: 3)
    for sequence in 0..<3 {
      let prompt = (0...sequence * 2).map { _ in Int32.random(in: 0..<100, using: &generator) }
      _ = try sent.step([(sequence, prompt)])
      _ = try fed.step([(sequence, prompt)])
    }
    for step in 0..<8 {
      // Decodes alone, which are recorded and replayed, and beside a prompt.
      let rows = (0..<6).shuffled(using: &generator)
      let tokens = (0..<6).map { _ in Int32.random(in: 0..<100, using: &generator) }
      unsafe try tokens.withUnsafeBytes { unsafe try backend.upload($0, to: sampled) }
      var work: [(sequence: Int, tokens: [Int32])] = []
      var sources: [Int32] = []
      for sequence in 0..<3 {
        // One of them was sampled earlier, and its token is sent.
        let isKnown = sequence == step % 4
        work.append((sequence, [isKnown ? Int32(sequence) : tokens[rows[sequence]]]))
        sources.append(isKnown ? -1 : Int32(rows[sequence]))
      }
      if step == 5 { work.append((3, [4, 5, 6, 7])) }
      let (found, wanted) = (try fed.step(work, sources: sources), try sent.step(work))
      #expect(found.map { $0.map(\.bitPattern) } == wanted.map { $0.map(\.bitPattern) }, "step \(step)")
    }
    #expect(fed.graph.recordedShapes == 1)
    for (sources, runner) in [([Int32(6)], fed), ([-2], fed), ([0], sent), ([-1, -1], fed)] {
      #expect(throws: KernelError.self) { try runner.step([(0, [1])], sources: sources) }
    }
    withExtendedLifetime(storage) {}
  }
}
