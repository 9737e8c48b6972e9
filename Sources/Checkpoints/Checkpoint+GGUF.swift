package import JSON

/// Opening a GGUF file as if it were the Hugging Face checkpoint it was made from.
extension Checkpoint {
  static func openFile(_ path: String) throws(CheckpointError) -> Checkpoint {
    let file = try MappedFile(path: path)
    let begins = unsafe file.withBytes { bytes in unsafe bytes.prefix(4).elementsEqual(GGUFFile.magic) }
    guard begins || path.hasSuffix(".gguf") else { throw .notACheckpoint(path: path) }
    do {
      let gguf = try unsafe GGUFFile.parse(bytes: file.bytes)
      let model = try unsafe GGUFModel(gguf, bytes: file.bytes)
      return Checkpoint(path: path, file: file, metadata: gguf.metadata, model: model)
    } catch {
      throw .gguf(file: path, error)
    }
  }

  private convenience init(path: String, file: MappedFile, metadata: GGUFMetadata, model: GGUFModel) {
    self.init(
      path: path, kind: .gguf, configuration: .object(model.configuration),
      generationConfiguration: .object(model.generationConfiguration), files: [file],
      entries: model.entries, tokenizerSource: .gguf(metadata), reordering: model.reordering)
  }

  /// The configuration a GGUF file in memory gives: all that opening it does, without a file.
  package static func configuration(ofGGUF bytes: UnsafeRawBufferPointer) throws(GGUFError) -> JSONValue {
    .object(try unsafe GGUFModel(GGUFFile.parse(bytes: bytes), bytes: bytes).configuration)
  }
}
