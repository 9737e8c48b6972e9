extension ModelFamily {
  /// Qwen2 and Qwen2.5: the Llama layout with biases on query, key and value.
  ///
  /// With "use_sliding_window", layers from "max_window_layers" on see only "sliding_window" positions; a list
  /// "layer_types" goes before that rule.
  static let qwen2 = ModelFamily(
    name: "qwen2", modelTypes: ["qwen2"], architectures: ["Qwen2ForCausalLM", "Qwen2Model"]
  ) { reader throws(ModelError) in
    var configuration = try LlamaLayout.read(
      reader, family: "qwen2", attentionBias: true, outputBias: false, feedForwardBias: false)
    let layerCount = configuration.layers.count

    var window: Int?
    if try reader.flag("use_sliding_window", default: false) {
      window =
        reader.contains("sliding_window")
        ? try reader.optionalInteger("sliding_window", in: ConfigurationRange.positions) : 4096
    }
    let firstWindowed = try reader.integer("max_window_layers", in: 0...1_000_000, default: 28)
    guard let types = try reader.strings("layer_types") else {
      for layer in 0..<layerCount where layer >= firstWindowed {
        configuration.layers[layer].window = window
      }
      return configuration
    }

    guard types.count == layerCount else {
      throw reader.conflict(
        "layer_types", "num_hidden_layers", reason: "\(types.count) types for \(layerCount) layers")
    }
    for (layer, type) in types.enumerated() {
      switch type {
      case "full_attention": continue
      case "sliding_attention":
        guard let window else {
          throw reader.conflict(
            "layer_types", "sliding_window", reason: "layer \(layer) is a sliding one, but no window is set")
        }
        configuration.layers[layer].window = window
      default:
        throw reader.unsupported("layer_types", "\"\(type)\"", ["full_attention", "sliding_attention"])
      }
    }
    return configuration
  }
}
