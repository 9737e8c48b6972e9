import CPUBackend
import Checkpoints
import Compute
import JSON
import Models
import Numerics
import Scheduling
import TestSupport
import Testing

/// Binding weights, planning memory, admitting plans, and traces.
@Suite struct ModelGraphTests {
  private static let limits = ModelLimits(
    maxBatchTokens: 32, maxSequences: 4, maxModelLength: 64, maxLogitRows: 8)

  private func graph(_ checkpoint: Checkpoint, _ limits: ModelLimits = limits) throws -> ModelGraph {
    try ModelGraph(checkpoint: checkpoint, backend: CPUBackend(threads: 1), limits: limits)
  }

  private func failure(_ edited: EditedCheckpoint) throws -> ModelError? {
    let checkpoint = try edited.open()
    return #expect(throws: ModelError.self) { try graph(checkpoint) }
  }

  // MARK: Tensors

  @Test func `a missing tensor is named`() throws {
    let edited = try EditedCheckpoint("tiny/llama", ["num_hidden_layers": 3])
    #expect(
      try failure(edited)
        == .missingTensor(name: "model.layers.2.input_layernorm.weight", checkpoint: edited.directory))
    let other = try EditedCheckpoint(
      "tiny/gpt2",
      [
        "architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
      ])
    #expect(
      try failure(other) == .missingTensor(name: "model.embed_tokens.weight", checkpoint: other.directory))
  }

  @Test func `a tensor of another shape is named with both shapes`() throws {
    #expect(
      try failure(EditedCheckpoint("tiny/llama", ["vocab_size": 513]))
        == .tensorShape(name: "model.embed_tokens.weight", expected: [513, 64], found: [512, 64]))
    #expect(
      try failure(EditedCheckpoint("tiny/llama", ["intermediate_size": 177]))
        == .tensorShape(name: "model.layers.0.mlp.gate_proj.weight", expected: [177, 64], found: [176, 64]))
    #expect(
      try failure(EditedCheckpoint("tiny/llama", ["num_key_value_heads": 4]))
        == .tensorShape(name: "model.layers.0.self_attn.k_proj.weight", expected: [64, 64], found: [32, 64]))
    #expect(
      try failure(EditedCheckpoint("tiny/gpt2", ["n_inner": 128]))
        == .tensorShape(name: "transformer.h.0.mlp.c_fc.weight", expected: [64, 128], found: [64, 256]))
    #expect(
      try failure(EditedCheckpoint("tiny/gpt2", ["n_positions": 255]))
        == .tensorShape(name: "transformer.wpe.weight", expected: [255, 64], found: [256, 64]))
  }

  @Test func `biases that the configuration denies or lacks are named`() throws {
    let denied = try failure(
      EditedCheckpoint("tiny/qwen2", ["architectures": ["LlamaForCausalLM"], "model_type": "llama"]))
    guard case .unexpectedTensor("model.layers.0.self_attn.q_proj.bias", _) = denied else {
      Issue.record("\(String(describing: denied))")
      return
    }
    let edited = try EditedCheckpoint("tiny/llama", ["mlp_bias": true])
    #expect(
      try failure(edited)
        == .missingTensor(name: "model.layers.0.mlp.gate_proj.bias", checkpoint: edited.directory))
  }

  @Test func `learned sinks are in all layers or in none`() throws {
    let edited = try EditedCheckpoint(
      "families/llama-sink-logits",
      weights: { bytes in
        var bytes = bytes
        let key = Array("\"model.layers.1.self_attn.sinks\"".utf8)
        let start = bytes.indices.first { bytes[$0...].starts(with: key) } ?? 0
        bytes[start + key.count - 2] = UInt8(ascii: "z")
        return bytes
      })
    #expect(
      try failure(edited)
        == .missingTensor(name: "model.layers.1.self_attn.sinks", checkpoint: edited.directory))
  }

  @Test func `weights of a type that is not floating-point are refused`() throws {
    // "F16" and "I16" have the same length and the same element size.
    let edited = try EditedCheckpoint(
      "tiny/mistral",
      weights: { bytes in
        var bytes = bytes
        let key = Array("\"model.layers.1.mlp.up_proj.weight\":{\"dtype\":\"".utf8)
        let start = bytes.indices.first { bytes[$0...].starts(with: key) } ?? 0
        bytes.replaceSubrange(start + key.count..<start + key.count + 3, with: Array("I16".utf8))
        return bytes
      })
    #expect(
      try failure(edited)
        == .tensorType(
          name: "model.layers.1.mlp.up_proj.weight", found: "int16",
          supported: ["float32", "float16", "bfloat16"]))
  }

  @Test func `tensors that are not read are listed`() throws {
    let fewer = try EditedCheckpoint("tiny/llama", ["num_hidden_layers": 1])
    let unused = try graph(try fewer.open()).unusedTensors
    #expect(unused.count == 9 && unused.allSatisfy { $0.hasPrefix("model.layers.1.") })
    #expect(try graph(try Checkpoint.open(Fixtures.path("tiny/bloom"))).unusedTensors.isEmpty)
  }

  @Test func `mapped weights stay where they are`() throws {
    let backend = SpyBackend()
    _ = try ModelGraph(
      checkpoint: try Checkpoint.open(Fixtures.path("tiny/llama")), backend: backend, limits: Self.limits)
    // One reservation: the workspace.
    #expect(backend.calls == ["allocate"] + Array(repeating: "upload", count: 1))
  }

  // MARK: Memory

  @Test func `the memory plan is known before anything is reserved, and holds`() throws {
    for fixture in ["tiny/llama", "tiny/gpt2", "tiny/bloom", "demo"] {
      let checkpoint = try Checkpoint.open(Fixtures.path(fixture))
      let planned = try ModelGraph.memoryPlan(
        checkpoint: checkpoint, limits: Self.limits, activationType: .float32)
      let backend = SpyBackend()
      let graph = try ModelGraph(checkpoint: checkpoint, backend: backend, limits: Self.limits)
      #expect(graph.memoryPlan == planned)
      #expect(backend.allocatedBytes == planned.workspaceBytes)
      let cache = try graph.makeKVCache(blockCount: 3)
      #expect(cache.geometry.bytesPerBlock == planned.bytesPerBlock && cache.geometry.blockCount == 3)
    }
    // 2 · 2 layers · 16 tokens · 2 heads · 16 components · 4 bytes
    let plan = try ModelGraph.memoryPlan(
      checkpoint: try Checkpoint.open(Fixtures.path("tiny/llama")), limits: Self.limits,
      activationType: .float32)
    #expect(plan.bytesPerBlock == 8192)
    // bf16 but for the five norms, which are held as float32.
    let layer = 64 * 64 * 2 + 32 * 64 * 2 + 3 * 176 * 64
    #expect(plan.weightBytes == 2 * (2 * 512 * 64 + 2 * layer) + 4 * 5 * 64)
  }

  @Test(arguments: ["tiny/llama", "tiny/gpt2", "tiny/bloom"])
  func `layers rounded while loading are planned as such, and computed with`(_ fixture: String) throws {
    let golden = try Golden(fixture)
    let checkpoint = try Checkpoint.open(golden.directory)
    var limits = Self.limits
    limits.quantization = .llmInt8
    let plan = try ModelGraph.memoryPlan(checkpoint: checkpoint, limits: limits, activationType: .float32)
    let plain = try ModelGraph.memoryPlan(
      checkpoint: checkpoint, limits: Self.limits, activationType: .float32)
    let inventory = try TensorInventory(
      try ModelRegistry.configuration(from: checkpoint.configuration), in: checkpoint)
    let matrices = inventory.sites(try ModelRegistry.configuration(from: checkpoint.configuration)).joined()
    let saved = matrices.reduce(0) { sum, site in
      let size = checkpoint.tensors[site.module + ".weight"]?.dataType.byteCount ?? 0
      return sum + site.outputs * site.inputs * size - site.outputs * ((site.inputs + 3) / 4 * 4 + 4)
    }
    #expect(plain.weightBytes - plan.weightBytes == saved && saved > 0)
    let prompt = golden.prompts[0]
    let runner = try ModelRunner(checkpoint, quantization: .llmInt8)
    let deviation = Deviation(try runner.logits(prompt.tokens), prompt.logits, vocabulary: runner.vocabulary)
    // Eight bits of weights and activations; 0 would mean that nothing was rounded.
    #expect(deviation.relative > 1e-4 && deviation.relative < 0.08, "\(deviation.relative)")
  }

  @Test func `a quantised checkpoint is not quantised again`() throws {
    let checkpoint = try Checkpoint.open(Fixtures.path("quantized/bnb-int8"))
    var limits = Self.limits
    limits.quantization = .llmInt8
    #expect {
      try ModelGraph(checkpoint: checkpoint, backend: SpyBackend(), limits: limits)
    } throws: { error in
      guard case ModelError.quantised(_, "bitsandbytes int8") = error else { return false }
      return "\(error)".contains("leave the flag out")
    }
  }

  @Test func `matrices that are turned into another type when placed are planned as such`() throws {
    func bytes(_ fixture: String, _ type: DataType?) throws -> Int {
      try ModelGraph.memoryPlan(
        checkpoint: try Checkpoint.open(Fixtures.path(fixture)), limits: Self.limits,
        activationType: .float32, held: HeldTypes(matrices: type)
      ).weightBytes
    }
    // GPT-2 is float32; 4 H² + 2 · 4 H² a layer become half as large, tables and vectors stay.
    let matrices = 2 * 12 * 64 * 64
    let saved = try bytes("tiny/gpt2", nil) - bytes("tiny/gpt2", .bfloat16)
    #expect(saved == 2 * matrices)
    let unchanged = try bytes("tiny/llama", nil) - bytes("tiny/llama", .bfloat16)
    #expect(unchanged == 0)
  }

  @Test func `quantised weights are planned as they are held`() throws {
    let checkpoint = try Checkpoint.open(Fixtures.path("quantized/bnb-nf4"))
    func bytes(_ held: HeldTypes) throws -> Int {
      try ModelGraph.memoryPlan(
        checkpoint: checkpoint, limits: Self.limits, activationType: .float32, held: held
      ).weightBytes
    }
    let configuration = try ModelRegistry.configuration(from: checkpoint.configuration)
    let inventory = try TensorInventory(configuration, in: checkpoint)
    let codes = try inventory.sites(configuration).joined().compactMap { try checkpoint.linear($0.module) }
    try #require(codes.count == 7)
    let stored = codes.map(\.byteCount).reduce(0, +)
    let wide = codes.map { $0.outputs * $0.inputs * 2 }.reduce(0, +)
    let widened = try bytes(HeldTypes { _ in .bfloat16 })
    #expect(try bytes(.asStored) - stored == widened - wide)
    #expect(wide > 3 * stored)
  }

  @Test func `the workspace holds the larger of attention and feed-forward`() throws {
    func bytes(_ fixture: String) throws -> Int {
      try ModelGraph.memoryPlan(
        checkpoint: try Checkpoint.open(Fixtures.path(fixture)), limits: Self.limits, activationType: .float32
      ).workspaceBytes
    }
    /// Sums of parts whose sizes are multiples of 256 bytes but for the last ones.
    func expected(hidden: Int, shared: Int, vocabulary: Int, rotary: Int) -> Int {
      let activations = 32 * (3 * hidden + shared) + 8 * (2 * hidden + vocabulary)
      // Slopes, then tokens, positions and slots, starts, contexts, logit rows, and 4 tables of 4 blocks.
      let step = 3 * 32 + 8 + 4 + 32 + 16
      return 4 * (activations + 64 * rotary) + 256 + (4 * step + 255) / 256 * 256
    }
    // Attention: queries twice, keys, values. Feed-forward: gate, up and their product.
    #expect(
      try bytes("families/llama-rope-llama3")
        == expected(hidden: 32, shared: 2 * 64 + 2 * 32, vocabulary: 72, rotary: 32))
    #expect(try bytes("tiny/llama") == expected(hidden: 64, shared: 3 * 176, vocabulary: 512, rotary: 16))
  }

  @Test func `a plan says how much is missing and how many blocks fit`() throws {
    var plan = try ModelGraph.memoryPlan(
      checkpoint: try Checkpoint.open(Fixtures.path("tiny/llama")), limits: Self.limits,
      activationType: .float32)
    plan.weightBytes = 1000
    plan.workspaceBytes = 500
    plan.bytesPerBlock = 100
    #expect(plan.blockCount(fittingIn: 1799) == 2)
    #expect(plan.blockCount(fittingIn: 1400) == 0)
    #expect(plan.missingBytes(available: 1800, blocks: 3) == nil)
    #expect(plan.missingBytes(available: 1799, blocks: 3) == 1)
    #expect(plan.missingBytes(available: 1, blocks: Int.max / 2) == Int.max)
  }

  @Test func `limits that cannot be honoured are refused`() throws {
    let checkpoint = try Checkpoint.open(Fixtures.path("tiny/gpt2"))
    func limit(_ change: (inout ModelLimits) -> Void) -> ModelError? {
      var limits = Self.limits
      change(&limits)
      return #expect(throws: ModelError.self) { try graph(checkpoint, limits) }
    }
    #expect(
      limit { $0.maxModelLength = 257 }
        == .limit(name: "the maximum model length", found: 257, allowed: "from 1 to 256"))
    for wrong in [0, -1, Int.max, Int.min] {
      #expect(
        limit { $0.maxBatchTokens = wrong }?.description.contains("the step's token limit is \(wrong)")
          == true)
      #expect(
        limit { $0.maxSequences = wrong }?.description.contains("the sequence limit is \(wrong)") == true)
      #expect(limit { $0.maxLogitRows = wrong }?.description.contains("logit rows is \(wrong)") == true)
      #expect(limit { $0.maxModelLength = wrong }?.description.contains("model length is \(wrong)") == true)
    }
    let rope = try Checkpoint.open(Fixtures.path("tiny/llama"))
    var huge = Self.limits
    huge.maxBatchTokens = 1 << 24
    huge.maxLogitRows = 1 << 24
    let error = #expect(throws: ModelError.self) { try graph(rope, huge) }
    guard case .kernel(.outOfMemory) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test func `a cache needs blocks, and few enough to count`() throws {
    let graph = try graph(try Checkpoint.open(Fixtures.path("tiny/llama")))
    #expect(throws: KernelError.self) { try graph.makeKVCache(blockCount: 0) }
    #expect(throws: KernelError.self) { try graph.makeKVCache(blockCount: -1) }
    #expect(throws: KernelError.outOfMemory(requestedBytes: Int.max, availableBytes: nil)) {
      try graph.makeKVCache(blockCount: Int.max / 2)
    }
  }
}
