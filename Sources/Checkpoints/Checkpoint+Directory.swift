internal import JSON

/// Opening the directory of a Hugging Face checkpoint.
extension Checkpoint {
  /// A configuration larger than this is not one.
  private static let maximumJSONBytes = 64 << 20

  static func openDirectory(_ directory: String) throws(CheckpointError) -> Checkpoint {
    let names = FileSystem.names(in: directory)
    guard names.contains("config.json") else { throw missingConfiguration(directory, names) }
    let configuration = try readObject(FileSystem.join(directory, "config.json"))
    var generation: JSONValue?
    if names.contains("generation_config.json") {
      generation = try readObject(FileSystem.join(directory, "generation_config.json"))
    }
    var quantization: QuantizationConfiguration?
    if let json = configuration["quantization_config"], !json.isNull {
      do throws(QuantizationError) { quantization = try QuantizationConfiguration(json) } catch {
        throw .quantization(path: FileSystem.join(directory, "config.json"), error)
      }
    }
    let (files, entries) = try openWeights(directory, names)
    return Checkpoint(
      path: directory, kind: .safetensors, configuration: configuration,
      generationConfiguration: generation, files: files, entries: entries,
      tokenizerSource: .huggingFaceDirectory(directory), quantization: quantization)
  }

  /// One JSON file whose top level is an object.
  private static func readObject(_ path: String) throws(CheckpointError) -> JSONValue {
    let value = try readJSON(path)
    guard value.object != nil else { throw .configurationIsNoObject(file: path) }
    return value
  }

  static func readJSON(_ path: String) throws(CheckpointError) -> JSONValue {
    let file = try MappedFile(path: path)
    guard file.byteCount <= maximumJSONBytes else {
      throw .tooLarge(file: path, bytes: file.byteCount, limit: maximumJSONBytes)
    }
    let text = unsafe file.withBytes { bytes in unsafe [UInt8](bytes) }
    do { return try JSONValue.parse(text) } catch { throw .json(file: path, error) }
  }

  /// As transformers chooses: one file, then an index with shards; and a single safetensors file of another name.
  private static func openWeights(
    _ directory: String, _ names: [String]
  ) throws(CheckpointError) -> ([MappedFile], [TensorEntry]) {
    if names.contains("model.safetensors") {
      let (file, entries) = try openSafetensors(FileSystem.join(directory, "model.safetensors"), place: 0)
      return ([file], entries)
    }
    if names.contains("model.safetensors.index.json") {
      return try openShards(directory, names)
    }
    let candidates = names.filter { $0.hasSuffix(".safetensors") && !$0.hasPrefix("adapter") }
    if candidates.count > 1 { throw .ambiguousWeights(directory: directory, files: candidates) }
    guard let only = candidates.first else { throw missingWeights(directory, names) }
    let (file, entries) = try openSafetensors(FileSystem.join(directory, only), place: 0)
    return ([file], entries)
  }

  private static func openShards(
    _ directory: String, _ names: [String]
  ) throws(CheckpointError) -> ([MappedFile], [TensorEntry]) {
    let path = FileSystem.join(directory, "model.safetensors.index.json")
    let json = try readJSON(path)
    do {
      let index = try ShardIndex(json)
      for shard in index.shards where !names.contains(shard) { throw ShardIndexError.shardMissing(shard) }
      var files: [MappedFile] = []
      var headers: [(shard: String, entries: [TensorEntry])] = []
      for shard in index.shards {
        let (file, entries) = try openSafetensors(FileSystem.join(directory, shard), place: files.count)
        files.append(file)
        headers.append((shard: shard, entries: entries))
      }
      return (files, try index.select(from: headers))
    } catch let error as ShardIndexError {
      throw .index(file: path, error)
    } catch let error as CheckpointError {
      throw error
    } catch {
      throw .index(file: path, .noWeightMap)
    }
  }

  private static func openSafetensors(
    _ path: String, place: Int
  ) throws(CheckpointError) -> (MappedFile, [TensorEntry]) {
    let file = try MappedFile(path: path)
    do {
      let header = try unsafe SafetensorsHeader.parse(bytes: file.bytes, fileSize: file.byteCount)
      let entries = header.tensors.map { tensor in
        TensorEntry(
          name: tensor.name, dataType: tensor.dataType, shape: tensor.shape,
          storage: .plain(tensor.dataType), file: place, byteRange: tensor.byteRange)
      }
      return (file, entries)
    } catch {
      throw .safetensors(file: path, error)
    }
  }

  private static func missingConfiguration(_ directory: String, _ names: [String]) -> CheckpointError {
    if let file = names.first(where: { $0.hasSuffix(".gguf") }) {
      return .foreignWeights(directory: directory, file: FileSystem.join(directory, file), kind: .gguf)
    }
    if names.contains("adapter_config.json") {
      return .foreignWeights(directory: directory, file: "adapter_config.json", kind: .adapter)
    }
    return .noConfiguration(directory: directory)
  }

  private static func missingWeights(_ directory: String, _ names: [String]) -> CheckpointError {
    let kinds: [(CheckpointError.ForeignWeights, (String) -> Bool)] = [
      (.gguf, { $0.hasSuffix(".gguf") }),
      (.pickle, { name in [".bin", ".pt", ".pth", ".ckpt"].contains { name.hasSuffix($0) } }),
      (.tensorFlow, { $0.hasSuffix(".h5") || $0.hasSuffix(".msgpack") }),
      (.adapter, { $0.hasPrefix("adapter") }),
    ]
    for (kind, matches) in kinds {
      guard let file = names.first(where: matches) else { continue }
      let shown = kind == .gguf ? FileSystem.join(directory, file) : file
      return .foreignWeights(directory: directory, file: shown, kind: kind)
    }
    return .noWeights(directory: directory)
  }
}
