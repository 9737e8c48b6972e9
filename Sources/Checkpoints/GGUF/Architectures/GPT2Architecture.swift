internal import JSON

extension GGUFArchitecture {
  static let gpt2 = GGUFArchitecture(
    name: "gpt2",
    tensors: [
      "token_embd": Rule("transformer.wte"),
      "position_embd": Rule("transformer.wpe"),
      "output_norm": Rule("transformer.ln_f"),
      "output": Rule("lm_head"),
      "blk.#.attn_norm": Rule("transformer.h.#.ln_1"),
      "blk.#.attn_qkv": Rule("transformer.h.#.attn.c_attn", .transposedWeight),
      "blk.#.attn_output": Rule("transformer.h.#.attn.c_proj", .transposedWeight),
      "blk.#.ffn_norm": Rule("transformer.h.#.ln_2"),
      "blk.#.ffn_up": Rule("transformer.h.#.mlp.c_fc", .transposedWeight),
      "blk.#.ffn_down": Rule("transformer.h.#.mlp.c_proj", .transposedWeight),
    ]
  ) { parameters throws(GGUFError) in
    let context = try parameters.required("context_length")
    return [
      "model_type": "gpt2",
      "architectures": ["GPT2LMHeadModel"],
      "n_embd": .integer(Int64(try parameters.required("embedding_length"))),
      "n_inner": .integer(Int64(try parameters.required("feed_forward_length"))),
      "n_layer": .integer(Int64(try parameters.required("block_count"))),
      "n_head": .integer(Int64(try parameters.required("attention.head_count"))),
      "n_positions": .integer(Int64(context)),
      "n_ctx": .integer(Int64(context)),
      "layer_norm_epsilon": .double(try parameters.requiredNumber("attention.layer_norm_epsilon")),
      // llama.cpp computes GPT-2 with the tanh form, which is Hugging Face's "gelu_new".
      "activation_function": "gelu_new",
    ]
  }
}
