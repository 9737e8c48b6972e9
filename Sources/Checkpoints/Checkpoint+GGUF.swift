internal import JSON
internal import Numerics

/// Opening a GGUF file as if it were the Hugging Face checkpoint it was made from.
extension Checkpoint {
  static func openFile(_ path: String) throws(CheckpointError) -> Checkpoint {
    let file = try MappedFile(path: path)
    let begins = unsafe file.withBytes { bytes in unsafe bytes.prefix(4).elementsEqual(GGUFFile.magic) }
    guard begins || path.hasSuffix(".gguf") else { throw .notACheckpoint(path: path) }
    do {
      let gguf = try unsafe GGUFFile.parse(bytes: file.bytes)
      return try Checkpoint(path: path, file: file, gguf: gguf)
    } catch {
      throw .gguf(file: path, error)
    }
  }

  private convenience init(path: String, file: MappedFile, gguf: GGUFFile) throws(GGUFError) {
    let model = try GGUFModel(gguf, file: file)
    self.init(
      path: path, kind: .gguf, configuration: .object(model.configuration),
      generationConfiguration: .object(model.generationConfiguration), files: [file],
      entries: model.entries, tokenizerSource: .gguf(gguf.metadata), reordering: model.reordering)
  }
}
