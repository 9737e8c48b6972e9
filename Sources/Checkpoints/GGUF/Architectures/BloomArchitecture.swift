internal import JSON

extension GGUFArchitecture {
  static let bloom = GGUFArchitecture(
    name: "bloom",
    tensors: [
      "token_embd": Rule("transformer.word_embeddings"),
      "token_embd_norm": Rule("transformer.word_embeddings_layernorm"),
      "output_norm": Rule("transformer.ln_f"),
      "output": Rule("lm_head"),
      "blk.#.attn_norm": Rule("transformer.h.#.input_layernorm"),
      "blk.#.attn_qkv": Rule("transformer.h.#.self_attention.query_key_value", .fusedHeads),
      "blk.#.attn_output": Rule("transformer.h.#.self_attention.dense"),
      "blk.#.ffn_norm": Rule("transformer.h.#.post_attention_layernorm"),
      "blk.#.ffn_up": Rule("transformer.h.#.mlp.dense_h_to_4h"),
      "blk.#.ffn_down": Rule("transformer.h.#.mlp.dense_4h_to_h"),
    ]
  ) { parameters throws(GGUFError) in
    let hidden = try parameters.required("embedding_length")
    let inner = try parameters.required("feed_forward_length")
    // Hugging Face's configuration has no place for another width.
    guard inner % 4 == 0, inner / 4 == hidden else {
      throw .unsupportedFeature(key: parameters.key("feed_forward_length"), value: "\(inner)")
    }
    return [
      "model_type": "bloom",
      "architectures": ["BloomForCausalLM"],
      "hidden_size": .integer(Int64(hidden)),
      "n_layer": .integer(Int64(try parameters.required("block_count"))),
      "n_head": .integer(Int64(try parameters.required("attention.head_count"))),
      "seq_length": .integer(Int64(try parameters.required("context_length"))),
      "layer_norm_epsilon": .double(try parameters.requiredNumber("attention.layer_norm_epsilon")),
      "apply_residual_connection_post_layernorm": false,
    ]
  }
}
