import Checkpoints
import JSON
import Numerics
import TestSupport
import Testing

/// Metadata and names of GGUF models, with files written for each case.
@Suite struct GGUFModelTests {
  private static func text(_ string: String) -> GGUFValue { .string(Array(string.utf8)) }

  /// One layer of Llama with 4 heads of 4 and 2 key-value heads; `nil` takes a key out.
  private static func llama(_ changes: [String: GGUFValue?] = [:]) -> [GGUFMetadata.Item] {
    var values: [(String, GGUFValue)] = [
      ("general.architecture", text("llama")), ("llama.block_count", .uint32(1)),
      ("llama.context_length", .uint32(128)), ("llama.embedding_length", .uint32(16)),
      ("llama.feed_forward_length", .uint32(32)), ("llama.attention.head_count", .uint32(4)),
      ("llama.attention.head_count_kv", .uint32(2)),
      ("llama.attention.layer_norm_rms_epsilon", .float32(1e-5)),
    ]
    for (key, value) in changes.sorted(by: { $0.key < $1.key }) {
      values.removeAll { $0.0 == key }
      if let value { values.append((key, value)) }
    }
    return values.map { GGUFMetadata.Item(key: $0.0, value: $0.1) }
  }

  private static let tensors: [(String, [Int])] = [
    ("token_embd.weight", [8, 16]), ("output_norm.weight", [16]), ("blk.0.attn_q.weight", [16, 16]),
    ("blk.0.attn_k.weight", [8, 16]),
  ]

  private func open(
    _ metadata: [GGUFMetadata.Item], _ tensors: [(String, [Int])] = tensors, values: [String: [Float]] = [:]
  ) throws -> Checkpoint {
    let directory = try TemporaryDirectory()
    let path = directory.file("model.gguf")
    var writer = try GGUFWriter(
      path: path, metadata: metadata, tensors: tensors.map { .init(name: $0.0, type: .f32, shape: $0.1) })
    for (name, shape) in tensors {
      try writer.write(name, values[name] ?? (0..<shape.reduce(1, *)).map(Float.init))
    }
    try writer.finish()
    return try Checkpoint.open(path)
  }

  private func error(
    _ metadata: [GGUFMetadata.Item], _ tensors: [(String, [Int])] = tensors, values: [String: [Float]] = [:]
  ) throws -> GGUFError? {
    do {
      _ = try open(metadata, tensors, values: values)
      return nil
    } catch CheckpointError.gguf(_, let error) {
      return error
    }
  }

  @Test func fillsInWhatTheFormatLeavesOut() throws {
    let config = try open(Self.llama()).configuration
    #expect(config["model_type"]?.string == "llama")
    #expect(config["head_dim"]?.int == 4)
    #expect(config["rope_theta"]?.double == 10_000)
    #expect(config["rope_scaling"] == .null)
    #expect(config["rms_norm_eps"]?.double == 1e-5)
    #expect(config["vocab_size"]?.int == 8)
    #expect(config["tie_word_embeddings"]?.bool == true)
    #expect(config["attention_bias"]?.bool == false)
    #expect(config["torch_dtype"]?.string == "float32")
    #expect(config["bos_token_id"] == nil)
  }

  @Test func anOutputTensorMeansUntiedEmbeddings() throws {
    let checkpoint = try open(Self.llama(), Self.tensors + [("output.weight", [8, 16])])
    #expect(checkpoint.configuration["tie_word_embeddings"]?.bool == false)
    #expect(checkpoint.tensorNames.contains("lm_head.weight"))
  }

  /// Row h·d + 2i + s of the file is row h·d + s·d/2 + i of Hugging Face: with d = 4 rows 0 2 1 3 of each head.
  @Test func rotaryRowsAreReordered() throws {
    let checkpoint = try open(Self.llama())
    let query = try checkpoint.rawTensor("model.layers.0.self_attn.q_proj.weight").floats()
    let rows = (0..<16).map { Int(query[$0 * 16]) / 16 }
    #expect(rows == [0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15])
    let key = try checkpoint.rawTensor("model.layers.0.self_attn.k_proj.weight").floats()
    #expect((0..<8).map { Int(key[$0 * 16]) / 16 } == [0, 2, 1, 3, 4, 6, 5, 7])
  }

  @Test func biasesAreReorderedToo() throws {
    let checkpoint = try open(
      Self.llama(), Self.tensors + [("blk.0.attn_q.bias", [16]), ("blk.0.attn_k.bias", [8])])
    #expect(checkpoint.configuration["attention_bias"]?.bool == true)
    #expect(
      try checkpoint.rawTensor("model.layers.0.self_attn.k_proj.bias").floats() == [0, 2, 1, 3, 4, 6, 5, 7])
  }

  @Test func headsNeedNotDivideTheWidth() throws {
    let wide = Self.llama([
      "llama.attention.key_length": .uint32(8), "llama.attention.value_length": .uint32(8),
    ])
    let checkpoint = try open(wide, [("token_embd.weight", [8, 16]), ("blk.0.attn_q.weight", [32, 16])])
    #expect(checkpoint.configuration["head_dim"]?.int == 8)
    let query = try checkpoint.rawTensor("model.layers.0.self_attn.q_proj.weight").floats()
    #expect((0..<8).map { Int(query[$0 * 16]) / 16 } == [0, 2, 4, 6, 1, 3, 5, 7])
  }

  @Test func countsThatAreEqualForAllLayersMayBeLists() throws {
    let list = GGUFValue.array(.int32([2, 2]))
    #expect(
      try open(Self.llama(["llama.attention.head_count_kv": list])).configuration["num_key_value_heads"]?.int
        == 2)
    #expect(
      try error(Self.llama(["llama.attention.head_count_kv": .array(.int32([2, 1]))]))
        == .unsupportedFeature(
          key: "llama.attention.head_count_kv", value: "different values for different layers"))
    #expect(try error(Self.llama(["llama.attention.head_count_kv": .array(.int32([]))])) != nil)
  }

  @Test func ropeScalingIsTranslated() throws {
    func scaling(_ changes: [String: GGUFValue?]) throws -> JSONValue? {
      try open(Self.llama(changes)).configuration["rope_scaling"]
    }
    let type = "llama.rope.scaling.type"
    let factor = "llama.rope.scaling.factor"
    #expect(try scaling([type: Self.text("none"), factor: .float32(4)]) == .null)
    #expect(try scaling([type: Self.text("linear"), factor: .float32(1)]) == .null)
    let linear = try scaling([type: Self.text("linear"), factor: .float32(2.5)])
    #expect(linear?["rope_type"]?.string == "linear")
    #expect(linear?["factor"]?.double == 2.5)
    #expect(
      try scaling(["llama.rope.scale_linear": .float32(8)])
        == linear.map { _ in
          ["rope_type": "linear", "type": "linear", "factor": 8.0]
        })
    let yarn = try scaling([
      type: Self.text("yarn"), factor: .float32(4), "llama.rope.scaling.original_context_length": .uint32(32),
      "llama.rope.scaling.yarn_beta_fast": .float32(16),
    ])
    #expect(yarn?["rope_type"]?.string == "yarn")
    #expect(yarn?["original_max_position_embeddings"]?.int == 32)
    #expect(yarn?["beta_fast"]?.double == 16)
    #expect(
      try error(Self.llama([type: Self.text("longrope")]))
        == .unsupportedFeature(key: type, value: "longrope"))
    #expect(
      try error(Self.llama([type: Self.text("linear")]))
        == .badValue(key: factor, value: "missing", expected: "a number above 0"))
    #expect(
      try error(Self.llama([type: Self.text("linear"), factor: .float32(.infinity)]))
        == .badValue(key: factor, value: "inf", expected: "a finite number"))
  }

  @Test func frequencyFactorsGoIntoTheConfiguration() throws {
    let tensors = Self.tensors + [("rope_freqs.weight", [2])]
    let scaled = try open(Self.llama(), tensors, values: ["rope_freqs.weight": [1, 8]])
    #expect(scaled.configuration["rope_scaling"]?["rope_type"]?.string == "frequency_factors")
    #expect(scaled.configuration["rope_scaling"]?["frequency_factors"] == [1.0, 8.0])
    #expect(!scaled.tensorNames.contains { $0.contains("rope") })
    let plain = try open(Self.llama(), tensors, values: ["rope_freqs.weight": [1, 1]])
    #expect(plain.configuration["rope_scaling"] == .null)
    for bad: [Float] in [[1, 0], [.nan, 1], [1, -2], [.infinity, 1]] {
      #expect(
        try error(Self.llama(), tensors, values: ["rope_freqs.weight": bad])
          == .badValue(
            key: "rope_freqs.weight", value: "not finite or not positive", expected: "factors above 0"))
    }
  }

  @Test func aWindowMeansMistral() throws {
    let config = try open(Self.llama(["llama.attention.sliding_window": .uint32(64)])).configuration
    #expect(config["model_type"]?.string == "mistral")
    #expect(config["sliding_window"]?.int == 64)
  }

  @Test func everyEndOfTurnStopsGeneration() throws {
    let checkpoint = try open(
      Self.llama([
        "tokenizer.ggml.bos_token_id": .uint32(1), "tokenizer.ggml.eos_token_id": .uint32(2),
        "tokenizer.ggml.eot_token_id": .uint32(5), "tokenizer.ggml.eom_token_id": .uint32(2),
        "tokenizer.ggml.padding_token_id": .uint32(.max),
      ]))
    #expect(checkpoint.generationConfiguration == ["bos_token_id": 1, "eos_token_id": [2, 5]])
    #expect(checkpoint.configuration["eos_token_id"]?.int == 2)
    #expect(checkpoint.configuration["pad_token_id"] == nil)
  }

  @Test func missingOrSenselessKeysAreNamed() throws {
    #expect(try error([]) == .missingKey("general.architecture"))
    #expect(
      try error(Self.llama(["general.architecture": Self.text("mamba")])) == .unsupportedArchitecture("mamba")
    )
    #expect(GGUFError.unsupportedArchitecture("mamba").description.contains("llama, qwen2, gpt2, bloom"))
    for key in ["block_count", "embedding_length", "context_length", "attention.layer_norm_rms_epsilon"] {
      #expect(try error(Self.llama(["llama." + key: GGUFValue?.none])) == .missingKey("llama." + key))
    }
    let heads = "llama.attention.head_count"
    for value: GGUFValue in [.uint32(0), .int32(-1), .uint64(1 << 60)] {
      #expect(
        try error(Self.llama([heads: value]))
          == .badValue(key: heads, value: value.summary, expected: "a count from 1 to 2147483648"))
    }
    #expect(
      try error(Self.llama([heads: .float32(4)]))
        == .wrongType(key: heads, found: "4.0", expected: "an integer"))
    #expect(
      try error(Self.llama(), [("output_norm.weight", [16])]) == .missingKey("tensor token_embd.weight"))
    #expect(
      try error(Self.llama(), [("token_embd.weight", [16])])
        == .badTensorShape(tensor: "token_embd.weight", shape: [16], expected: "two dimensions"))
  }

  @Test(arguments: [
    "expert_count", "attention.scale", "final_logit_softcapping", "logit_scale", "attention.clamp_kqv",
    "attention.max_alibi_bias", "rope.dimension_count", "attention.value_length",
  ])
  func whatWouldChangeTheComputationIsRefused(name: String) throws {
    let key = "llama." + name
    guard case .unsupportedFeature(key: key, _) = try error(Self.llama([key: .uint32(3)])) else {
      Issue.record("\(key) was ignored")
      return
    }
  }

  @Test func partsAdaptersAndUnknownTensorsAreRefused() throws {
    #expect(try error(Self.llama(["split.count": .uint16(3)])) == .split(count: 3))
    #expect(
      try error(Self.llama(["general.type": Self.text("adapter")]))
        == .unsupportedFeature(key: "general.type", value: "adapter"))
    for name in [
      "blk.0.attn_q_norm.weight", "blk.1.attn_q.weight", "blk.-1.attn_q.weight", "blk.00.attn_q.weight",
      "blk.0.attn_q", "cls.weight", "blk.99999999999999999999.attn_q.weight", "", ".weight",
      "blk.#.attn_q.weight",
    ] {
      #expect(
        try error(Self.llama(), Self.tensors + [(name, [16])]) == .unknownTensor(name, architecture: "llama"))
    }
    #expect(try error(Self.llama(), Self.tensors + [("blk.0.attn_rot_embd.weight", [2])]) == nil)
  }

  @Test func rowsThatDoNotFitTheHeadsAreRefused() throws {
    let tensors = [("token_embd.weight", [8, 16]), ("blk.0.attn_q.weight", [12, 16])]
    #expect(
      try error(Self.llama(), tensors)
        == .badTensorShape(
          tensor: "blk.0.attn_q.weight", shape: [12, 16], expected: "rows of 4 heads of an even size"))
    let scalar = [("token_embd.weight", [8, 16]), ("blk.0.attn_q.weight", [])]
    #expect(
      try error(Self.llama(), scalar)
        == .badTensorShape(
          tensor: "blk.0.attn_q.weight", shape: [], expected: "rows of 4 heads of an even size"))
  }
}
