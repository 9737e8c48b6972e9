internal import JSON
internal import Numerics

/// A GGUF file seen as a Hugging Face checkpoint.
struct GGUFModel {
  let configuration: JSONObject
  let generationConfiguration: JSONObject
  let entries: [TensorEntry]
  /// By Hugging Face name, for the tensors whose elements have to be moved.
  let reordering: [String: TensorReordering]

  private static let ropeTensor = "rope_freqs.weight"

  /// - Parameter bytes: the whole file; it is not kept.
  init(_ gguf: GGUFFile, bytes: UnsafeRawBufferPointer) throws(GGUFError) {
    guard let name = try gguf.metadata.string("general.architecture") else {
      throw .missingKey("general.architecture")
    }
    let architecture = try GGUFArchitecture.named(name)
    let parameters = GGUFHyperparameters(
      architecture: name, metadata: gguf.metadata, tensorNames: Set(gguf.tensors.map(\.name)),
      ropeFactors: try unsafe Self.ropeFactors(gguf, bytes))
    try parameters.refuseUnsupported()
    (entries, reordering) = try Self.map(gguf, architecture, parameters)
    var configuration = try architecture.configuration(parameters)
    try Self.addShared(&configuration, gguf, entries)
    self.configuration = configuration
    generationConfiguration = try Self.generation(gguf.metadata)
  }

  private static func ropeFactors(
    _ gguf: GGUFFile, _ bytes: UnsafeRawBufferPointer
  ) throws(GGUFError) -> [Float]? {
    guard let tensor = gguf.tensors.first(where: { $0.name == ropeTensor }) else { return nil }
    guard tensor.type == .f32, tensor.shape.count == 1 else {
      throw .badTensorShape(tensor: ropeTensor, shape: tensor.shape, expected: "one dimension of F32")
    }
    let part = unsafe UnsafeRawBufferPointer(rebasing: bytes[tensor.byteRange])
    let factors = (0..<part.count / 4).map { index in
      unsafe Float(bitPattern: part.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self))
    }
    guard factors.allSatisfy({ $0.isFinite && $0 > 0 }) else {
      throw .badValue(key: ropeTensor, value: "not finite or not positive", expected: "factors above 0")
    }
    return factors
  }

  private static func map(
    _ gguf: GGUFFile, _ architecture: GGUFArchitecture, _ parameters: GGUFHyperparameters
  ) throws(GGUFError) -> ([TensorEntry], [String: TensorReordering]) {
    var entries: [TensorEntry] = []
    var reordering: [String: TensorReordering] = [:]
    let layers = try parameters.required("block_count")
    for tensor in gguf.tensors where tensor.name != ropeTensor {
      let name = GGUFTensorName(tensor.name)
      if GGUFArchitecture.ignoredTensors.contains(name.stem) { continue }
      guard let rule = architecture.tensors[name.stem], name.isWellFormed, (name.layer ?? 0) < layers
      else {
        throw .unknownTensor(tensor.name, architecture: architecture.name)
      }
      let target = name.applied(to: rule)
      var shape = tensor.shape
      if let move = try Self.move(rule.layout, name.suffix, parameters) {
        if let expected = move.complaint(about: shape) {
          throw .badTensorShape(tensor: tensor.name, shape: shape, expected: expected)
        }
        shape = move.shape(of: shape)
        reordering[target] = move
      }
      entries.append(
        TensorEntry(
          name: target, dataType: tensor.type.plainType ?? .float32, shape: shape,
          storage: tensor.type.plainType.map(TensorStorage.plain) ?? .blocks(tensor.type), file: 0,
          byteRange: tensor.byteRange))
    }
    return (entries, reordering)
  }

  private static func move(
    _ layout: GGUFArchitecture.Layout, _ suffix: String, _ parameters: GGUFHyperparameters
  ) throws(GGUFError) -> TensorReordering? {
    let heads = try parameters.required("attention.head_count")
    return switch layout {
    case .same: nil
    case .queryRows: .ropeRows(heads: heads)
    case .keyRows: .ropeRows(heads: try parameters.count("attention.head_count_kv") ?? heads)
    case .fusedHeads: .fusedHeads(heads: heads)
    case .transposedWeight: suffix == ".weight" ? .transposed : nil
    }
  }
}

// MARK: - Configuration

extension GGUFModel {
  private static func addShared(
    _ configuration: inout JSONObject, _ gguf: GGUFFile, _ entries: [TensorEntry]
  ) throws(GGUFError) {
    guard let embedding = gguf.tensors.first(where: { $0.name == "token_embd.weight" }) else {
      throw .missingKey("tensor token_embd.weight")
    }
    guard embedding.shape.count == 2, let rows = embedding.shape.first else {
      throw .badTensorShape(tensor: embedding.name, shape: embedding.shape, expected: "two dimensions")
    }
    // The metadata's own count and the list of tokens may be shorter than a padded embedding.
    configuration["vocab_size"] = .integer(Int64(rows))
    configuration["tie_word_embeddings"] = .bool(!gguf.tensors.contains { $0.name == "output.weight" })
    configuration["torch_dtype"] = .string(mainType(of: entries).rawValue)
    for (key, id) in try tokenIDs(gguf.metadata) where ["bos", "eos", "pad"].contains(key) {
      configuration[key + "_token_id"] = .integer(Int64(id))
    }
  }

  /// The type most elements have when they are read.
  private static func mainType(of entries: [TensorEntry]) -> DataType {
    var elements: [DataType: Int] = [:]
    for entry in entries { elements[entry.dataType, default: 0] += entry.byteRange.count }
    return elements.max { ($0.value, $0.key.rawValue) < ($1.value, $1.key.rawValue) }?.key ?? .float32
  }

  private static func tokenIDs(_ metadata: GGUFMetadata) throws(GGUFError) -> [(key: String, id: Int)] {
    let names = [
      ("bos", "bos_token_id"), ("eos", "eos_token_id"), ("pad", "padding_token_id"), ("eot", "eot_token_id"),
      ("eom", "eom_token_id"),
    ]
    var ids: [(key: String, id: Int)] = []
    for (key, name) in names {
      // Converters write 2^32 - 1 for "none".
      guard let id = try metadata.int("tokenizer.ggml." + name), id != 0xFFFF_FFFF, id >= 0 else { continue }
      ids.append((key, id))
    }
    return ids
  }

  /// What `generation_config.json` would say; any of the ends of text, turn and message stops generation.
  private static func generation(_ metadata: GGUFMetadata) throws(GGUFError) -> JSONObject {
    var generation: JSONObject = [:]
    var stops: [Int] = []
    for (key, id) in try tokenIDs(metadata) {
      switch key {
      case "bos": generation["bos_token_id"] = .integer(Int64(id))
      case "pad": generation["pad_token_id"] = .integer(Int64(id))
      default: if !stops.contains(id) { stops.append(id) }
      }
    }
    switch stops.count {
    case 0: break
    case 1: generation["eos_token_id"] = .integer(Int64(stops[0]))
    default: generation["eos_token_id"] = .array(stops.map { .integer(Int64($0)) })
    }
    return generation
  }
}
