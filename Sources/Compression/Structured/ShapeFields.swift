internal import JSON
internal import Models

/// Which fields of a family's `config.json` say how large it is, so that a smaller model is an ordinary one.
struct ShapeFields: Sendable {
  let layers: [String]
  /// nil where the size follows from another and cannot be changed alone.
  let intermediate: String?
  /// Query heads, key/value heads and the head dimension; nil where the dimension follows from the hidden size.
  let heads: (query: String, keyValue: String, dimension: String)?
  /// The width of the residual stream, with what is added to its mean square.
  var hidden: (size: String, epsilon: String)?

  static func of(_ family: String) -> ShapeFields? {
    let llama = ShapeFields(
      layers: ["num_hidden_layers"], intermediate: "intermediate_size",
      heads: ("num_attention_heads", "num_key_value_heads", "head_dim"),
      hidden: ("hidden_size", "rms_norm_eps"))
    return switch family {
    case "llama", "mistral", "qwen2": llama
    case "gpt2": ShapeFields(layers: ["n_layer"], intermediate: "n_inner", heads: nil)
    case "gpt_neox": ShapeFields(layers: ["num_hidden_layers"], intermediate: "intermediate_size", heads: nil)
    case "bloom": ShapeFields(layers: ["n_layer", "num_hidden_layers"], intermediate: nil, heads: nil)
    default: nil
    }
  }
}
