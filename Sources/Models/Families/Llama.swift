internal import Compute

extension ModelFamily {
  /// Llama 1, 2 and 3, CodeLlama, and what follows their layout: RMS norms, rope, gated feed-forward, grouped
  /// query heads. Head dimension and biases are free.
  static let llama = ModelFamily(
    name: "llama", modelTypes: ["llama"],
    architectures: ["LlamaForCausalLM", "LLaMAForCausalLM", "LlamaModel"]
  ) { reader throws(ModelError) in
    try LlamaLayout.read(
      reader, family: "llama",
      attentionBias: try reader.flag("attention_bias", default: false),
      outputBias: try reader.flag("attention_bias", default: false),
      feedForwardBias: try reader.flag("mlp_bias", default: false))
  }
}

/// The layout that Llama, Mistral and Qwen2 share.
enum LlamaLayout {
  static func read(
    _ reader: ConfigurationReader, family: String, attentionBias: Bool, outputBias: Bool,
    feedForwardBias: Bool
  ) throws(ModelError) -> ModelConfiguration {
    let hiddenSize = try reader.integer("hidden_size", in: ConfigurationRange.hidden)
    let layerCount = try reader.integer("num_hidden_layers", in: ConfigurationRange.layers)
    let queryHeads = try reader.integer("num_attention_heads", in: ConfigurationRange.heads)
    let heads = try reader.heads(
      query: queryHeads,
      keyValue: try reader.optionalInteger("num_key_value_heads", in: ConfigurationRange.heads),
      dimension: try reader.optionalInteger("head_dim", in: ConfigurationRange.headDimension),
      hiddenSize: hiddenSize, names: .init())
    let maxPositions = try reader.integer(
      "max_position_embeddings", in: ConfigurationRange.positions, default: 2048)
    let rope = try Rope.read(reader, headDimension: heads.dimension, maxPositions: maxPositions)

    let decoder = DecoderDescription(
      prefixes: ["model.", ""],
      tokenEmbedding: "embed_tokens",
      positions: .rope(rope),
      layerStem: "layers.",
      norm: .init(
        kind: .rms,
        epsilon: try reader.number("rms_norm_eps", in: ConfigurationRange.epsilon, default: 1e-6)),
      attentionNorm: "input_layernorm",
      attention: .separate(
        query: .init("self_attn.q_proj", bias: attentionBias),
        key: .init("self_attn.k_proj", bias: attentionBias),
        value: .init("self_attn.v_proj", bias: attentionBias)),
      attentionOutput: .init("self_attn.o_proj", bias: outputBias),
      sinkLogits: "self_attn.sinks",
      feedForwardNorm: "post_attention_layernorm",
      feedForward: .gated(
        gate: .init("mlp.gate_proj", bias: feedForwardBias),
        up: .init("mlp.up_proj", bias: feedForwardBias),
        down: .init("mlp.down_proj", bias: feedForwardBias)),
      activation: try Activation.read(reader, "hidden_act", default: "silu"),
      finalNorm: "norm",
      tiesEmbeddings: try reader.flag("tie_word_embeddings", default: false))

    return ModelConfiguration(
      family: family,
      vocabularySize: try reader.integer("vocab_size", in: ConfigurationRange.vocabulary),
      hiddenSize: hiddenSize,
      intermediateSize: try reader.integer("intermediate_size", in: ConfigurationRange.intermediate),
      queryHeads: queryHeads, keyValueHeads: heads.keyValue, headDimension: heads.dimension,
      maxPositions: maxPositions,
      layers: Array(
        repeating: .init(headDimension: heads.dimension), count: layerCount),
      decoder: decoder)
  }
}
