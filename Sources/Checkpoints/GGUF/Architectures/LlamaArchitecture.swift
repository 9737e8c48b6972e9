internal import JSON

extension GGUFArchitecture {
  /// Llama 1–3 and what is built like it; Mistral too is stored as "llama".
  static let llama = GGUFArchitecture(
    name: "llama",
    tensors: decoderTensors(query: .queryRows, key: .keyRows)
  ) { parameters throws(GGUFError) in
    var config = try rotaryDecoder(parameters)
    config["attention_bias"] = .bool(parameters.hasTensor("blk.0.attn_q.bias"))
    config["mlp_bias"] = .bool(parameters.hasTensor("blk.0.ffn_down.bias"))
    // llama.cpp keeps no trace of Mistral but the window, which Llama does not have.
    if let window = try parameters.count("attention.sliding_window") {
      config["model_type"] = "mistral"
      config["architectures"] = ["MistralForCausalLM"]
      config["sliding_window"] = .integer(Int64(window))
    } else {
      config["model_type"] = "llama"
      config["architectures"] = ["LlamaForCausalLM"]
    }
    return config
  }

  /// Qwen 1.5 to 2.5, dense: biases on q, k and v, and rows in Hugging Face's order.
  static let qwen2 = GGUFArchitecture(
    name: "qwen2",
    tensors: decoderTensors(query: .same, key: .same)
  ) { parameters throws(GGUFError) in
    var config = try rotaryDecoder(parameters)
    config["model_type"] = "qwen2"
    config["architectures"] = ["Qwen2ForCausalLM"]
    let window = try parameters.count("attention.sliding_window")
    if let window { throw .unsupportedFeature(key: "qwen2.attention.sliding_window", value: "\(window)") }
    config["use_sliding_window"] = false
    return config
  }

  private static func decoderTensors(query: Layout, key: Layout) -> [String: Rule] {
    [
      "token_embd": Rule("model.embed_tokens"),
      "output_norm": Rule("model.norm"),
      "output": Rule("lm_head"),
      "blk.#.attn_norm": Rule("model.layers.#.input_layernorm"),
      "blk.#.attn_q": Rule("model.layers.#.self_attn.q_proj", query),
      "blk.#.attn_k": Rule("model.layers.#.self_attn.k_proj", key),
      "blk.#.attn_v": Rule("model.layers.#.self_attn.v_proj"),
      "blk.#.attn_output": Rule("model.layers.#.self_attn.o_proj"),
      "blk.#.ffn_norm": Rule("model.layers.#.post_attention_layernorm"),
      "blk.#.ffn_gate": Rule("model.layers.#.mlp.gate_proj"),
      "blk.#.ffn_up": Rule("model.layers.#.mlp.up_proj"),
      "blk.#.ffn_down": Rule("model.layers.#.mlp.down_proj"),
    ]
  }

  /// What Llama, Mistral and Qwen2 name alike.
  private static func rotaryDecoder(_ parameters: GGUFHyperparameters) throws(GGUFError) -> JSONObject {
    let hidden = try parameters.required("embedding_length")
    let heads = try parameters.required("attention.head_count")
    let headSize = try parameters.count("attention.key_length") ?? hidden / heads
    if let valueSize = try parameters.count("attention.value_length"), valueSize != headSize {
      throw .unsupportedFeature(key: parameters.key("attention.value_length"), value: "\(valueSize)")
    }
    if let rotated = try parameters.count("rope.dimension_count"), rotated != headSize {
      throw .unsupportedFeature(key: parameters.key("rope.dimension_count"), value: "\(rotated)")
    }
    return [
      "hidden_size": .integer(Int64(hidden)),
      "intermediate_size": .integer(Int64(try parameters.required("feed_forward_length"))),
      "num_hidden_layers": .integer(Int64(try parameters.required("block_count"))),
      "num_attention_heads": .integer(Int64(heads)),
      "num_key_value_heads": .integer(Int64(try parameters.count("attention.head_count_kv") ?? heads)),
      "head_dim": .integer(Int64(headSize)),
      "max_position_embeddings": .integer(Int64(try parameters.required("context_length"))),
      "rms_norm_eps": .double(try parameters.requiredNumber("attention.layer_norm_rms_epsilon")),
      "rope_theta": .double(try parameters.number("rope.freq_base") ?? 10000),
      "rope_scaling": try GGUFRope.scaling(parameters),
      "hidden_act": "silu",
    ]
  }
}
