internal import Compute

/// `--quantization`: what a checkpoint in floating point becomes while it is loaded.
enum QuantizationFlag {
  static let option = OptionSpecification.value(
    "--quantization", "METHOD", default: "none",
    "llm.int8: round the layers of a model in floating point to int8 while loading it, activations by token, outliers "
      + "left alone; needs no data. Quantised checkpoints need no flag.")

  /// The second is vLLM's name.
  private enum Name: String, CaseIterable {
    case none, int8 = "llm.int8", bitsandbytes
  }

  static func quantization(_ arguments: ParsedArguments) throws(UsageError) -> LoadQuantization? {
    switch try arguments.choice(option.name, as: Name.self) {
    case nil, .none?: nil
    case .int8?, .bitsandbytes?: .llmInt8
    }
  }
}
