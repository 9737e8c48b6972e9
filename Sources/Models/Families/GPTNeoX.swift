internal import Compute

extension ModelFamily {
  /// GPT-NeoX and Pythia: attention and feed-forward in parallel, rope on the first part of each head, query,
  /// key and value interleaved head by head.
  static let gptNeoX = ModelFamily(
    name: "gpt_neox", modelTypes: ["gpt_neox"], architectures: ["GPTNeoXForCausalLM", "GPTNeoXModel"]
  ) { reader throws(ModelError) in
    let hiddenSize = try reader.integer("hidden_size", in: ConfigurationRange.hidden)
    let queryHeads = try reader.integer("num_attention_heads", in: ConfigurationRange.heads)
    let layerCount = try reader.integer("num_hidden_layers", in: ConfigurationRange.layers)
    let heads = try reader.heads(
      query: queryHeads, keyValue: nil, dimension: nil, hiddenSize: hiddenSize, names: .init())
    let maxPositions = try reader.integer(
      "max_position_embeddings", in: ConfigurationRange.positions, default: 2048)
    let rope = try Rope.read(
      reader, headDimension: heads.dimension, maxPositions: maxPositions, thetaName: "rotary_emb_base",
      partialName: "rotary_pct", partialFactor: 0.25, allowsPartial: true)
    let attentionBias = try reader.flag("attention_bias", default: true)

    let decoder = DecoderDescription(
      prefixes: ["gpt_neox.", ""],
      tokenEmbedding: "embed_in",
      positions: .rope(rope),
      layerStem: "layers.",
      block: try reader.flag("use_parallel_residual", default: true) ? .parallel : .serial,
      norm: .init(
        kind: .layer,
        epsilon: try reader.number("layer_norm_eps", in: ConfigurationRange.epsilon, default: 1e-5)),
      attentionNorm: "input_layernorm",
      attention: .fused(.init("attention.query_key_value", bias: attentionBias), .perHead),
      attentionOutput: .init("attention.dense", bias: attentionBias),
      feedForwardNorm: "post_attention_layernorm",
      feedForward: .plain(
        up: .init("mlp.dense_h_to_4h", bias: true), down: .init("mlp.dense_4h_to_h", bias: true)),
      activation: try Activation.read(reader, "hidden_act", default: "gelu"),
      finalNorm: "final_layer_norm",
      output: ["embed_out", "lm_head"],
      tiesEmbeddings: try reader.flag("tie_word_embeddings", default: false))

    return ModelConfiguration(
      family: "gpt_neox",
      vocabularySize: try reader.integer("vocab_size", in: ConfigurationRange.vocabulary),
      hiddenSize: hiddenSize,
      intermediateSize: try reader.integer("intermediate_size", in: ConfigurationRange.intermediate),
      queryHeads: queryHeads, keyValueHeads: queryHeads, headDimension: heads.dimension,
      maxPositions: maxPositions,
      layers: Array(repeating: .init(headDimension: heads.dimension), count: layerCount),
      decoder: decoder)
  }
}
