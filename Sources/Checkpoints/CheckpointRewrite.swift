internal import JSON
internal import Numerics

/// Writes a safetensors checkpoint again with the elements of some tensors changed: names, shapes, types and the division
/// into files stay, and so do the configuration and the tokenizer.
///
/// One tensor is in memory at a time. The output appears complete or not at all.
package struct CheckpointRewrite {
  private let source: Checkpoint

  /// - Precondition: a safetensors checkpoint.
  package init(_ source: Checkpoint) {
    precondition(source.kind == .safetensors, "only safetensors can be written again")
    self.source = source
  }

  /// - Parameters:
  ///   - directory: made; may not exist.
  ///   - change: the new elements of a tensor, row-major and in its type, or nil for those it has.
  package func write<Failure: Error>(
    to directory: String, wrapping wrap: (CheckpointError) -> Failure,
    _ change: (RawTensor) throws(Failure) -> [UInt8]?
  ) throws(Failure) {
    try AtomicDirectory.make(directory, wrapping: wrap) { (temporary) throws(Failure) in
      for file in source.files.indices { try writeFile(file, into: temporary, wrap, change) }
      do throws(CheckpointError) { try writeCompanions(temporary) } catch { throw wrap(error) }
    }
  }

  private func writeFile<Failure: Error>(
    _ file: Int, into directory: String, _ wrap: (CheckpointError) -> Failure,
    _ change: (RawTensor) throws(Failure) -> [UInt8]?
  ) throws(Failure) {
    let names = source.tensorNames.filter { source.tensors[$0]?.file == file }
    let path = source.files[file].path
    let base = path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
    let declarations = names.compactMap { name in
      source.tensors[name].map {
        SafetensorsWriter.Declaration(name: name, dataType: $0.dataType, shape: $0.shape)
      }
    }
    var writer: SafetensorsWriter
    do throws(CheckpointError) {
      writer = try SafetensorsWriter(
        path: FileSystem.join(directory, base), tensors: declarations,
        metadata: [.init(key: "format", value: "pt")])
    } catch { throw wrap(error) }
    for name in names {
      let raw: RawTensor
      do throws(CheckpointError) { raw = try source.rawTensor(name) } catch { throw wrap(error) }
      let changed = try change(raw)
      do throws(CheckpointError) {
        if let changed {
          try writer.write(name, changed)
        } else {
          try unsafe raw.withBytes { (bytes) throws(CheckpointError) in try unsafe writer.write(name, bytes) }
        }
      } catch { throw wrap(error) }
    }
    do throws(CheckpointError) { try writer.finish() } catch { throw wrap(error) }
  }

  private func writeCompanions(_ directory: String) throws(CheckpointError) {
    try Companions.copy(from: source.path, to: directory)
    if let generation = source.generationConfiguration {
      try Companions.write(generation, to: FileSystem.join(directory, "generation_config.json"))
    }
    let index = "model.safetensors.index.json"
    if FileSystem.exists(FileSystem.join(source.path, index)) {
      try Companions.write(
        try Checkpoint.readJSON(FileSystem.join(source.path, index)), to: FileSystem.join(directory, index))
    }
    // Last: without it the directory is no checkpoint.
    try Companions.write(source.configuration, to: FileSystem.join(directory, "config.json"))
  }
}
