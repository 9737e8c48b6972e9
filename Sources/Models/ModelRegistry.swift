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
    try WidthsPerLayer.read(reader, into: &configuration)
    return configuration
  }
}
