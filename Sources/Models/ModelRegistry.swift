package import JSON

/// The families this program can run.
package enum ModelRegistry {
  package static let families: [ModelFamily] = [.llama, .mistral, .qwen2, .gpt2, .bloom, .gptNeoX]

  /// The family that a configuration's "architectures" names, or its "model_type" where there are none.
  ///
  /// Both are refused when they belong to two families: one of them is wrong, and guessing would give wrong text.
  package static func family(for reader: ConfigurationReader) throws(ModelError) -> ModelFamily {
    let architecture = try reader.strings("architectures")?.first
    let modelType = try reader.string("model_type")
    let byType = families.first { modelType.map($0.modelTypes.contains) ?? false }

    guard let architecture else {
      if let byType { return byType }
      guard let modelType else {
        throw .missingField(
          file: reader.file, field: "architectures",
          allowed: "an array with one of " + families.flatMap(\.architectures).joined(separator: ", "))
      }
      throw reader.unsupported("model_type", "\"\(modelType)\"", families.flatMap(\.modelTypes))
    }
    guard let family = families.first(where: { $0.architectures.contains(architecture) }) else {
      throw reader.unsupported("architectures", "\"\(architecture)\"", families.flatMap(\.architectures))
    }
    if let byType, byType.name != family.name {
      throw reader.conflict(
        "architectures", "model_type", reason: "they name two families, \(family.name) and \(byType.name)")
    }
    return family
  }

  /// Reads and checks a `config.json`.
  package static func configuration(
    from json: JSONValue, file: String = "config.json"
  ) throws(ModelError) -> ModelConfiguration {
    let reader = try ConfigurationReader(json, file: file)
    let family = try family(for: reader)
    var configuration = try family.configuration(reader)
    try readWidths(reader, into: &configuration)
    return configuration
  }

  /// "intermediate_sizes": gpuinfer's own field, one number a layer, for what structured pruning leaves.
  private static func readWidths(
    _ reader: ConfigurationReader, into configuration: inout ModelConfiguration
  ) throws(ModelError) {
    let field = "intermediate_sizes"
    guard reader.contains(field) else { return }
    let range = ConfigurationRange.intermediate
    let numbers = try reader.numbers(field, in: Double(range.lowerBound)...Double(range.upperBound))
    if let odd = numbers.first(where: { $0 != $0.rounded() }) {
      throw reader.unsupported(field, "\(odd)", ["whole numbers"])
    }
    let widths = numbers.map { Int($0) }
    guard widths.count == configuration.layers.count else {
      throw reader.conflict(
        field, "num_hidden_layers",
        reason: "\(widths.count) widths are not one for each of \(configuration.layers.count) layers")
    }
    guard let most = widths.max(), most == configuration.intermediateSize else {
      throw reader.conflict(
        field, "intermediate_size", reason: "the largest width is not \(configuration.intermediateSize)")
    }
    for (layer, width) in widths.enumerated() where width != most {
      configuration.layers[layer].intermediateSize = width
    }
  }
}
