internal import Compute

extension Activation {
  /// The names Hugging Face gives these functions; several are one function written in different ways.
  private static let names: [(name: String, activation: Activation)] = [
    ("silu", .silu), ("swish", .silu),
    ("gelu", .gelu), ("gelu_python", .gelu),
    ("gelu_new", .geluTanh), ("gelu_pytorch_tanh", .geluTanh), ("gelu_fast", .geluTanh),
    ("gelu_accurate", .geluTanh),
    ("relu", .relu),
  ]

  /// The function a configuration names, refused with the list of known ones otherwise.
  static func read(
    _ reader: ConfigurationReader, _ field: String, default fallback: String
  ) throws(ModelError) -> Activation {
    let name = try reader.string(field) ?? fallback
    for known in names where known.name == name { return known.activation }
    throw reader.unsupported(field, "\"\(name)\"", names.map(\.name))
  }
}
