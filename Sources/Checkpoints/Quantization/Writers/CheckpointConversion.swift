internal import JSON
internal import Compute
internal import Numerics

/// Writes a checkpoint again with its quantised linear layers in another format, every code and scale as it was.
///
/// One layer's tensors are in memory at a time. The output appears complete or not at all: it is written beside its
/// name and renamed.
package struct CheckpointConversion {
  package let source: Checkpoint
  package let format: CheckpointFormat
  private let layers: [QuantizedLinear]

  /// - Throws: for a source without quantised layers, or one that contradicts itself.
  package init(_ source: Checkpoint, to format: CheckpointFormat) throws(CheckpointError) {
    self.source = source
    self.format = format
    var layers: [QuantizedLinear] = []
    for module in source.linearModules {
      if let layer = try source.linear(module) { layers.append(layer) }
    }
    if layers.isEmpty { throw .nothingToConvert(path: source.path) }
    self.layers = layers
  }

  /// Quantised layers that will be written.
  package var layerCount: Int { layers.count }

  /// - Parameters:
  ///   - directory: made; may not exist.
  ///   - tokenizer: the directory of the tokenizer's files.
  ///   - progress: told the number of layers done.
  package func write(
    to directory: String, tokenizer: String, progress: (Int) -> Void = { _ in }
  ) throws(CheckpointError) {
    try AtomicDirectory.make(directory, wrapping: { $0 }) { (temporary) throws(CheckpointError) in
      try writeFiles(temporary, tokenizer: tokenizer, progress)
    }
  }

  private func writeFiles(
    _ directory: String, tokenizer: String, _ progress: (Int) -> Void
  ) throws(CheckpointError) {
    var configuration = QuantizationConfigurationWriter(format: format)
    var declarations: [SafetensorsWriter.Declaration] = []
    // Twice over the layers: the header wants every shape before the first byte.
    for layer in layers {
      for tensor in try tensors(of: layer, &configuration) {
        declarations.append(
          .init(
            name: "\(layer.module).\(tensor.suffix)", dataType: tensor.tensor.dataType,
            shape: tensor.tensor.shape.array))
      }
    }
    let replaced = Set(layers.flatMap(\.tensorNames))
    let kept = source.tensorNames.filter { !replaced.contains($0) }
    for name in kept {
      guard let entry = source.tensors[name] else { continue }
      declarations.append(.init(name: name, dataType: entry.dataType, shape: entry.shape))
    }
    for module in source.linearModules where !layers.contains(where: { $0.module == module }) {
      configuration.addDense(module)
    }
    do throws(QuantizationError) { try configuration.validate() } catch {
      throw .quantization(path: source.path, error)
    }

    var writer = try SafetensorsWriter(
      path: FileSystem.join(directory, "model.safetensors"), tensors: declarations,
      metadata: [.init(key: "format", value: "pt")])
    for (index, layer) in layers.enumerated() {
      var unused = configuration
      for tensor in try tensors(of: layer, &unused) {
        let view = tensor.tensor.view
        try unsafe writer.write(
          "\(layer.module).\(tensor.suffix)",
          UnsafeRawBufferPointer(start: view.address, count: tensor.tensor.byteCount))
        withExtendedLifetime(tensor) {}
      }
      progress(index + 1)
    }
    for name in kept {
      let raw = try source.rawTensor(name)
      try unsafe raw.withBytes { (bytes) throws(CheckpointError) in try unsafe writer.write(name, bytes) }
    }
    try writer.finish()
    try Companions.copy(from: tokenizer, to: directory)
    if let generation = source.generationConfiguration {
      try Companions.write(generation, to: FileSystem.join(directory, "generation_config.json"))
    }
    var written = source.configuration.object ?? [:]
    if format == .dense {
      written.removeValue(forKey: "quantization_config")
    } else {
      written["quantization_config"] = configuration.json
    }
    // Last: without it the directory is no checkpoint.
    try Companions.write(.object(written), to: FileSystem.join(directory, "config.json"))
  }

  private func tensors(
    of layer: QuantizedLinear, _ configuration: inout QuantizationConfigurationWriter
  ) throws(CheckpointError) -> [ModuleTensor] {
    let store = try source.store(of: layer)
    let correction = try source.correction(of: layer)
    do throws(QuantizationError) {
      try configuration.add(layer.module, store)
      var writer = LinearWriter(format: format, module: layer.module)
      // GPT-2's Conv1D has inputs first.
      writer.denseIsTransposed = source.configuration["model_type"]?.string == "gpt2"
      return try writer.tensors(of: store, correction: correction)
    } catch { throw .quantization(path: source.path, error) }
  }
}

extension Checkpoint {
  /// Modules with a matrix for a weight, but for embeddings; sorted.
  package var linearModules: [String] {
    let ends = [".qweight", ".weight_packed", ".spqr_packed", ".bitmask", ".weight"]
    var modules: Set<String> = []
    for name in tensorNames {
      guard let end = ends.first(where: { name.hasSuffix($0) }) else { continue }
      let module = String(name.dropLast(end.count))
      let last = module.split(separator: ".").last ?? ""
      guard !Self.embeddings.contains(String(last)) else { continue }
      // A norm's weight has one dimension; bitsandbytes' 4-bit weights have two.
      if end == ".weight", storedShape(name).count != 2 { continue }
      modules.insert(module)
    }
    return modules.sorted()
  }

  private static let embeddings: Set<String> = [
    "embed_tokens", "wte", "wpe", "word_embeddings", "embed_in", "position_embeddings",
  ]
}

/// The small files beside the weights.
enum Companions {
  private static let names = [
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt", "tokenizer.model", "chat_template.jinja", "LICENSE",
  ]

  static func copy(from source: String, to directory: String) throws(CheckpointError) {
    for name in names where FileSystem.exists(FileSystem.join(source, name)) {
      let file = try MappedFile(path: FileSystem.join(source, name))
      let copy = try AtomicFile(path: FileSystem.join(directory, name))
      try unsafe file.withBytes { (bytes) throws(CheckpointError) in try unsafe copy.write(bytes, at: 0) }
      try copy.commit()
    }
  }

  static func write(_ json: JSONValue, to path: String) throws(CheckpointError) {
    let file = try AtomicFile(path: path)
    try file.write([UInt8](json.serialized().utf8) + [10], at: 0)
    try file.commit()
  }
}
