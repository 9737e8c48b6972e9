extension ModelFamily {
  /// Mistral: the Llama layout with a sliding window in every layer.
  ///
  /// "sliding_window" left out is 4096, as in Hugging Face; `null` is no window.
  static let mistral = ModelFamily(
    name: "mistral", modelTypes: ["mistral"], architectures: ["MistralForCausalLM", "MistralModel"]
  ) { reader throws(ModelError) in
    if let other = try reader.strings("layer_types")?.first(where: { $0 != "sliding_attention" }) {
      throw reader.unsupported("layer_types", "\"\(other)\"", ["sliding_attention"])
    }
    var configuration = try LlamaLayout.read(
      reader, family: "mistral", attentionBias: false, outputBias: false, feedForwardBias: false)
    let window =
      reader.contains("sliding_window")
      ? try reader.optionalInteger("sliding_window", in: ConfigurationRange.positions) : 4096
    for layer in configuration.layers.indices { configuration.layers[layer].window = window }
    return configuration
  }
}
