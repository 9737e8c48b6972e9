internal import Compute

extension ModelFamily {
  /// GPT-2: learned positions, layer norms, one projection for query, key and value, `Conv1D` weights, which
  /// lie `[inputs, outputs]` in the file.
  static let gpt2 = ModelFamily(
    name: "gpt2", modelTypes: ["gpt2"], architectures: ["GPT2LMHeadModel", "GPT2Model"]
  ) { reader throws(ModelError) in
    if try reader.flag("add_cross_attention", default: false) {
      throw reader.unsupported("add_cross_attention", "true", ["false"])
    }
    let hiddenSize = try reader.integer("n_embd", "hidden_size", in: ConfigurationRange.hidden)
    let queryHeads = try reader.integer("n_head", "num_attention_heads", in: ConfigurationRange.heads)
    let layerCount = try reader.integer("n_layer", "num_hidden_layers", in: ConfigurationRange.layers)
    let heads = try reader.heads(
      query: queryHeads, keyValue: nil, dimension: nil, hiddenSize: hiddenSize,
      names: .init(hidden: "n_embd", query: "n_head"))

    let decoder = DecoderDescription(
      prefixes: ["transformer.", ""],
      tokenEmbedding: "wte",
      positions: .learned("wpe"),
      layerStem: "h.",
      norm: .init(
        kind: .layer,
        epsilon: try reader.number("layer_norm_epsilon", in: ConfigurationRange.epsilon, default: 1e-5)),
      attentionNorm: "ln_1",
      attention: .fused(.init("attn.c_attn", bias: true), .stacked),
      attentionOutput: .init("attn.c_proj", bias: true),
      feedForwardNorm: "ln_2",
      feedForward: .plain(up: .init("mlp.c_fc", bias: true), down: .init("mlp.c_proj", bias: true)),
      activation: try Activation.read(reader, "activation_function", default: "gelu_new"),
      weightOrder: .inputsFirst,
      finalNorm: "ln_f",
      tiesEmbeddings: try reader.flag("tie_word_embeddings", default: true))

    var layers = Array(
      repeating: ModelConfiguration.Layer(headDimension: heads.dimension), count: layerCount)
    if try !reader.flag("scale_attn_weights", default: true) {
      for layer in layers.indices { layers[layer].attentionScale = 1 }
    }
    if try reader.flag("scale_attn_by_inverse_layer_idx", default: false) {
      for layer in layers.indices { layers[layer].attentionScale /= Float(layer + 1) }
    }
    return ModelConfiguration(
      family: "gpt2",
      vocabularySize: try reader.integer("vocab_size", in: ConfigurationRange.vocabulary),
      hiddenSize: hiddenSize,
      intermediateSize: try reader.integer(
        "n_inner", in: ConfigurationRange.intermediate, default: 4 * hiddenSize),
      queryHeads: queryHeads, keyValueHeads: queryHeads, headDimension: heads.dimension,
      maxPositions: try reader.integer(
        "n_positions", "max_position_embeddings", in: ConfigurationRange.positions, default: 1024),
      layers: layers, decoder: decoder)
  }
}
