import JSON
import Models
import TestSupport
import Testing

/// What `config.json` may say, and how each mistake in it is refused.
@Suite struct ConfigurationTests {
  // MARK: What is read

  @Test func `a llama configuration is read to its last field`() throws {
    let found = try ModelRegistry.configuration(from: JSONValue.parse(Fixtures.bytes("demo/config.json")))
    #expect(found.family == "llama")
    #expect(found.vocabularySize == 4096 && found.hiddenSize == 256 && found.intermediateSize == 640)
    #expect(found.queryHeads == 8 && found.keyValueHeads == 4 && found.headDimension == 32)
    #expect(found.layers.count == 6 && found.layers.allSatisfy { $0.window == nil })
    #expect(found.maxPositions == 1024 && found.defaultModelLength == 1024 && found.hardPositionLimit == nil)
    #expect(found.decoder.tiesEmbeddings && found.decoder.norm.epsilon == 1e-5)
    #expect(found.layers[0].attentionScale == Float(1 / 32.0.squareRoot()))
  }

  /// Fields as published, without those that do not matter here.
  @Test(arguments: [
    (
      #"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 131072, "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"}, "rope_theta": 500000.0, "vocab_size": 128256, "attention_bias": false, "mlp_bias": false, "hidden_act": "silu"}"#,
      "llama", 131072
    ),
    (
      #"{"architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 11008, "max_position_embeddings": 16384, "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32, "rms_norm_eps": 1e-05, "rope_theta": 1000000, "vocab_size": 32016}"#,
      "llama", 16384
    ),
    (
      #"{"architectures": ["MistralForCausalLM"], "head_dim": 128, "hidden_act": "silu", "hidden_size": 5120, "intermediate_size": 14336, "max_position_embeddings": 131072, "model_type": "mistral", "num_attention_heads": 32, "num_hidden_layers": 40, "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "sliding_window": null, "vocab_size": 131072}"#,
      "mistral", 131072
    ),
    (
      #"{"architectures": ["Qwen2ForCausalLM"], "hidden_act": "silu", "hidden_size": 896, "intermediate_size": 4864, "max_position_embeddings": 32768, "max_window_layers": 21, "model_type": "qwen2", "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": true, "use_sliding_window": false, "vocab_size": 151936}"#,
      "qwen2", 32768
    ),
    (
      #"{"activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024, "n_embd": 1600, "n_head": 25, "n_layer": 48, "n_positions": 1024, "vocab_size": 50257}"#,
      "gpt2", 1024
    ),
    (
      #"{"apply_residual_connection_post_layernorm": false, "architectures": ["BloomForCausalLM"], "attention_softmax_in_fp32": true, "bias_dropout_fusion": true, "layer_norm_epsilon": 1e-05, "masked_softmax_fusion": true, "model_type": "bloom", "n_embed": 1024, "n_inner": null, "n_layer": 24, "num_attention_heads": 16, "offset_alibi": 100, "pretraining_tp": 1, "seq_length": 2048, "skip_bias_add": true, "slow_but_exact": false, "vocab_size": 250880}"#,
      "bloom", 2048
    ),
    (
      #"{"architectures": ["GPTNeoXForCausalLM"], "hidden_act": "gelu", "hidden_size": 512, "intermediate_size": 2048, "layer_norm_eps": 1e-05, "max_position_embeddings": 2048, "model_type": "gpt_neox", "num_attention_heads": 8, "num_hidden_layers": 6, "rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": false, "use_parallel_residual": true, "vocab_size": 50304}"#,
      "gpt_neox", 2048
    ),
  ])
  func `configurations as published are read`(_ text: String, _ family: String, _ length: Int) throws {
    let found = try ModelRegistry.configuration(from: JSONValue.parse(Array(text.utf8)))
    #expect(found.family == family)
    #expect(found.defaultModelLength == length)
  }

  @Test func `mistral windows: a number, null, and left out`() throws {
    func window(_ value: JSONValue?) throws -> Int? {
      var json = Self.llama
      json["architectures"] = ["MistralForCausalLM"]
      json["model_type"] = "mistral"
      json["sliding_window"] = value
      let layers = try ModelRegistry.configuration(from: .object(json)).layers
      #expect(Set(layers.map(\.window)).count == 1)
      return layers[0].window
    }
    #expect(try window(17) == 17)
    #expect(try window(.null) == nil)
    #expect(try window(nil) == 4096)
  }

  @Test func `qwen2 windows start at max_window_layers, and layer_types go before`() throws {
    func windows(_ fields: JSONObject) throws -> [Int?] {
      var json = Self.llama
      json["architectures"] = ["Qwen2ForCausalLM"]
      json["model_type"] = "qwen2"
      json["num_hidden_layers"] = 3
      for (key, value) in fields { json[key] = value }
      return try ModelRegistry.configuration(from: .object(json)).layers.map(\.window)
    }
    #expect(try windows(["sliding_window": 8]) == [nil, nil, nil])
    let on: JSONObject = ["sliding_window": 8, "use_sliding_window": true, "max_window_layers": 2]
    #expect(try windows(on) == [nil, nil, 8])
    #expect(try windows(["use_sliding_window": true, "max_window_layers": 0]) == [4096, 4096, 4096])
    var types = on
    types["layer_types"] = ["sliding_attention", "full_attention", "sliding_attention"]
    #expect(try windows(types) == [8, nil, 8])
  }

  @Test func `gpt2 scales: plain, by layer, and none`() throws {
    func scales(_ fields: JSONObject) throws -> [Float] {
      var json = Self.gpt2
      for (key, value) in fields { json[key] = value }
      return try ModelRegistry.configuration(from: .object(json)).layers.map(\.attentionScale)
    }
    #expect(try scales([:]) == [0.25, 0.25])
    #expect(try scales(["scale_attn_by_inverse_layer_idx": true]) == [0.25, 0.125])
    #expect(try scales(["scale_attn_weights": false]) == [1, 1])
  }

  // MARK: What is refused

  static let llama: JSONObject = [
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 64, "hidden_size": 32,
    "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 128,
  ]
  static let gpt2: JSONObject = [
    "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": 64, "n_embd": 32, "n_layer": 2,
    "n_head": 2, "n_positions": 32,
  ]
  static let bloom: JSONObject = [
    "architectures": ["BloomForCausalLM"], "model_type": "bloom", "vocab_size": 64, "hidden_size": 32,
    "n_layer": 2, "n_head": 2,
  ]

  private func failure(_ json: JSONValue) -> String {
    do {
      _ = try ModelRegistry.configuration(from: json)
      return "none"
    } catch { return "\(error)" }
  }

  @Test(arguments: [
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "max_position_embeddings",
  ])
  func `a size must be a whole number in its range`(_ field: String) {
    let hostile: [JSONValue] = [
      0, -1, -9_223_372_036_854_775_808, 9_223_372_036_854_775_807, 1e300, -1e300, 1.5, true, "12", [4], [:],
    ]
    for value in hostile {
      var json = Self.llama
      json[field] = value
      let message = failure(.object(json))
      #expect(message.hasPrefix("config.json: field \"\(field)\" is "), "\(message)")
      #expect(message.contains("it must be an integer from 1 to "), "\(message)")
    }
  }

  @Test(arguments: [
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
  ])
  func `a size that has no default must be there`(_ field: String) {
    var json = Self.llama
    json[field] = nil
    #expect(
      failure(.object(json)).hasPrefix("config.json: field \"\(field)\" is missing; it must be an integer"))
    json[field] = .null
    #expect(
      failure(.object(json)).hasPrefix("config.json: field \"\(field)\" is missing; it must be an integer"))
  }

  struct Case: Sendable, CustomTestStringConvertible {
    var base: JSONObject = ConfigurationTests.llama
    var fields: JSONObject
    var message: String
    var testDescription: String { JSONValue.object(fields).serialized() }
  }

  @Test(arguments: [
    Case(
      fields: ["num_key_value_heads": 3],
      message:
        #"fields "num_attention_heads", "num_key_value_heads": 4 query heads cannot share 3 key/value heads evenly"#
    ),
    Case(fields: ["num_key_value_heads": 8], message: "4 query heads cannot share 8 key/value heads evenly"),
    Case(fields: ["hidden_size": 30], message: "30 components cannot be split into 4 equal heads"),
    Case(
      fields: ["head_dim": 7], message: "7 of 7 components of a head are rotated; it must be an even number"),
    Case(fields: ["head_dim": 1], message: "it must be an even number, at least 2"),
    Case(
      fields: ["hidden_size": 131072, "num_attention_heads": 4],
      message: "heads of 32768 components; at most 1024"),
    Case(fields: ["rms_norm_eps": 0], message: #"field "rms_norm_eps" is 0; it must be a number from"#),
    Case(fields: ["rms_norm_eps": -1e-5], message: #"field "rms_norm_eps" is "#),
    Case(
      fields: ["rms_norm_eps": "small"], message: #"field "rms_norm_eps" is "small"; it must be a number"#),
    Case(
      fields: ["hidden_act": "quick_gelu"],
      message: #"field "hidden_act" is "quick_gelu", which is not supported; supported: silu, "#),
    Case(fields: ["hidden_act": 3], message: #"field "hidden_act" is 3; it must be a string"#),
    Case(
      fields: ["tie_word_embeddings": 1],
      message: #"field "tie_word_embeddings" is 1; it must be true or false"#),
    Case(
      fields: ["attention_bias": "no"], message: #"field "attention_bias" is "no"; it must be true or false"#),
    Case(
      fields: ["architectures": ["MambaForCausalLM"]],
      message:
        #"field "architectures" is "MambaForCausalLM", which is not supported; supported: LlamaForCausalLM, "#
    ),
    Case(fields: ["architectures": ["LlamaForSequenceClassification"]], message: "which is not supported"),
    Case(
      fields: ["architectures": "LlamaForCausalLM"],
      message: #"field "architectures" is "LlamaForCausalLM"; it must be an array of strings"#),
    Case(
      fields: ["architectures": .null, "model_type": "mamba"],
      message: #"field "model_type" is "mamba", which is not supported; supported: llama, mistral"#),
    Case(
      fields: ["architectures": .null, "model_type": .null],
      message: #"field "architectures" is missing; it must be an array with one of LlamaForCausalLM"#),
    Case(
      fields: ["architectures": ["MistralForCausalLM"]], message: "they name two families, mistral and llama"),
    Case(
      fields: ["partial_rotary_factor": 0.5],
      message: #"field "partial_rotary_factor" is 0.5, which is not supported; supported: 1"#),
    Case(fields: ["rope_theta": 0], message: #"field "rope_theta" is 0; it must be a number from 1.000001"#),
    Case(
      fields: ["rope_scaling": ["rope_type": "longrope", "factor": 4]],
      message:
        #"field "rope_scaling.rope_type" is "longrope", which is not supported; supported: default, linear, dynamic, llama3, yarn"#
    ),
    Case(fields: ["rope_scaling": ["type": "su"]], message: #"is "su", which is not supported"#),
    Case(
      fields: ["rope_scaling": ["type": "mrope", "mrope_section": [1, 2]]],
      message: #"is "mrope", which is not supported"#),
    Case(fields: ["rope_scaling": "linear"], message: #"field "rope_scaling" is not a JSON object"#),
    Case(fields: ["rope_scaling": ["type": "linear"]], message: #"field "rope_scaling.factor" is missing"#),
    Case(
      fields: ["rope_scaling": ["type": "linear", "factor": 0.5]],
      message: #"field "rope_scaling.factor" is 0.5; it must be a number from 1.0 to"#),
    Case(
      fields: ["rope_scaling": ["type": "linear", "factor": "2"]],
      message: #"field "rope_scaling.factor" is "2""#),
    Case(
      fields: ["rope_parameters": ["full_attention": ["rope_type": "default"]]],
      message: #"field "rope_parameters.full_attention" is an object for one kind of layer"#),
    Case(
      fields: ["head_dim": 2, "rope_scaling": ["type": "dynamic", "factor": 2]],
      message: "dynamic scaling needs more than two rotated components"),
    Case(
      fields: [
        "rope_scaling": ["rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4]
      ],
      message:
        #"fields "rope_scaling.low_freq_factor", "rope_scaling.high_freq_factor": 4.0 must be less than 4.0"#),
    Case(
      fields: ["rope_scaling": ["rope_type": "yarn", "factor": 4, "beta_fast": 1, "beta_slow": 2]],
      message: #""rope_scaling.beta_fast", "rope_scaling.beta_slow": 1.0 must not be less than 2.0"#),
    Case(
      fields: ["rope_scaling": ["rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 0]],
      message: #"field "rope_scaling.original_max_position_embeddings" is 0; it must be an integer from 1"#),
    Case(
      fields: ["rope_scaling": ["rope_type": "frequency_factors", "frequency_factors": [1, 2]]],
      message: "2 factors for 4 pairs"),
    Case(
      fields: ["rope_scaling": ["rope_type": "frequency_factors", "frequency_factors": [1, 0, 1, 1]]],
      message: #"field "rope_scaling.frequency_factors" is 0"#),
    Case(
      fields: [
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "layer_types": ["full_attention"],
      ], message: #"fields "layer_types", "num_hidden_layers": 1 types for 2 layers"#),
    Case(
      fields: [
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
        "layer_types": ["full_attention", "chunked_attention"],
      ], message: #"is "chunked_attention", which is not supported"#),
    Case(
      fields: [
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
        "layer_types": ["full_attention", "sliding_attention"],
      ], message: "layer 1 is a sliding one, but no window is set"),
    Case(
      fields: ["architectures": ["MistralForCausalLM"], "model_type": "mistral", "sliding_window": 0],
      message: #"field "sliding_window" is 0; it must be an integer from 1"#),
    Case(
      base: gpt2, fields: ["add_cross_attention": true],
      message: #"field "add_cross_attention" is true, which is not supported"#),
    Case(
      base: gpt2, fields: ["n_head": 3],
      message: #"fields "n_embd", "n_head": 32 components cannot be split into 3 equal heads"#),
    Case(base: gpt2, fields: ["n_inner": 0], message: #"field "n_inner" is 0"#),
    Case(
      base: bloom, fields: ["apply_residual_connection_post_layernorm": true],
      message: #"field "apply_residual_connection_post_layernorm" is true"#),
    Case(base: bloom, fields: ["n_head": 5], message: "32 components cannot be split into 5 equal heads"),
  ])
  func `a bad field is refused by name`(_ bad: Case) {
    var json = bad.base
    for (key, value) in bad.fields { json[key] = value }
    let message = failure(.object(json))
    #expect(message.hasPrefix("config.json"))
    #expect(message.contains(bad.message), "\(message)")
  }

  @Test func `a configuration must be an object`() {
    #expect(failure([]) == "config.json is not a JSON object")
    #expect(failure("llama") == "config.json is not a JSON object")
  }

  @Test func `a message holds an excerpt of a long value only`() {
    var json = Self.llama
    json["hidden_act"] = .string(String(repeating: "x", count: 1_000_000))
    #expect(failure(.object(json)).utf8.count < 400)
    json = Self.llama
    json["vocab_size"] = .string(String(repeating: "x", count: 1_000_000))
    #expect(failure(.object(json)).utf8.count < 400)
    json = Self.llama
    json["rope_parameters"] = .object(
      [(String(repeating: "x", count: 1_000_000), [:])].reduce(into: [:]) { $0[$1.0] = $1.1 })
    #expect(failure(.object(json)).utf8.count < 400)
  }
}
