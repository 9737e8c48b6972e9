internal import Compute

extension ModelFamily {
  /// BLOOM: ALiBi, a norm straight after the embedding, and a projection that interleaves query, key and value
  /// head by head.
  ///
  /// Published configurations spell sizes "n_embed", "n_layer", "num_attention_heads"; newer ones "hidden_size",
  /// "n_layer", "n_head". "slow_but_exact" and "pretraining_tp" only choose how the same sums are computed.
  static let bloom = ModelFamily(
    name: "bloom", modelTypes: ["bloom"], architectures: ["BloomForCausalLM", "BloomModel"]
  ) { reader throws(ModelError) in
    if try reader.flag("apply_residual_connection_post_layernorm", default: false) {
      throw reader.unsupported("apply_residual_connection_post_layernorm", "true", ["false"])
    }
    let hiddenSize = try reader.integer("n_embed", "hidden_size", in: ConfigurationRange.hidden)
    let queryHeads = try reader.integer("n_head", "num_attention_heads", in: ConfigurationRange.heads)
    let layerCount = try reader.integer("n_layer", "num_hidden_layers", in: ConfigurationRange.layers)
    let heads = try reader.heads(
      query: queryHeads, keyValue: nil, dimension: nil, hiddenSize: hiddenSize,
      names: .init(query: "n_head"))

    let decoder = DecoderDescription(
      prefixes: ["transformer.", ""],
      tokenEmbedding: "word_embeddings",
      embeddingNorm: "word_embeddings_layernorm",
      positions: .alibi,
      layerStem: "h.",
      norm: .init(
        kind: .layer,
        epsilon: try reader.number("layer_norm_epsilon", in: ConfigurationRange.epsilon, default: 1e-5)),
      attentionNorm: "input_layernorm",
      attention: .fused(.init("self_attention.query_key_value", bias: true), .perHead),
      attentionOutput: .init("self_attention.dense", bias: true),
      feedForwardNorm: "post_attention_layernorm",
      feedForward: .plain(
        up: .init("mlp.dense_h_to_4h", bias: true), down: .init("mlp.dense_4h_to_h", bias: true)),
      activation: .geluTanh,
      finalNorm: "ln_f",
      tiesEmbeddings: try reader.flag("tie_word_embeddings", default: true))

    return ModelConfiguration(
      family: "bloom",
      vocabularySize: try reader.integer("vocab_size", in: ConfigurationRange.vocabulary),
      hiddenSize: hiddenSize, intermediateSize: 4 * hiddenSize,
      queryHeads: queryHeads, keyValueHeads: queryHeads, headDimension: heads.dimension,
      maxPositions: try reader.integer("seq_length", in: ConfigurationRange.positions, default: 2048),
      layers: Array(repeating: .init(headDimension: heads.dimension), count: layerCount),
      decoder: decoder)
  }
}
