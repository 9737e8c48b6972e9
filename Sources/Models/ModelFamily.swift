/// One family of models: which configurations are its own, and how to read them.
///
/// A new family is one file with a constant of this type and one line in `ModelRegistry.families`.
package struct ModelFamily: Sendable {
  /// For messages and `inspect`.
  package let name: String
  /// Values of "model_type".
  package let modelTypes: [String]
  /// Values of "architectures".
  package let architectures: [String]
  private let read: @Sendable (ConfigurationReader) throws(ModelError) -> ModelConfiguration

  /// - Parameter configuration: refuses by name whatever it does not implement.
  package init(
    name: String, modelTypes: [String], architectures: [String],
    configuration: @escaping @Sendable (ConfigurationReader) throws(ModelError) -> ModelConfiguration
  ) {
    self.name = name
    self.modelTypes = modelTypes
    self.architectures = architectures
    read = configuration
  }

  /// Reads and checks the fields of a configuration that belongs to this family.
  package func configuration(_ reader: ConfigurationReader) throws(ModelError) -> ModelConfiguration {
    try read(reader)
  }
}
