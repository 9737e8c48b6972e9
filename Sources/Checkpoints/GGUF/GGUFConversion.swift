internal import Compute
internal import Glibc
internal import JSON
package import Numerics

/// Writes a Hugging Face checkpoint as a GGUF file, one tensor in memory at a time.
///
/// Plain matrices are rounded to `type` by ggml's reference quantisers; matrices that are quantised already keep their
/// codes, and are refused where GGUF has no block that holds them. Vectors stay float32.
package struct GGUFConversion {
  private struct Planned {
    let source: String
    let place: GGUFTensorMap.Place
    let type: GGMLType
    /// As GGUF has it, outermost first.
    let shape: [Int]
    let layer: QuantizedLinear?
  }

  package let source: Checkpoint
  private let metadata: GGUFModelMetadata
  private var planned: [Planned] = []
  private var vocabularySize = 0
  /// Rows that no block of the type divides, and which got Q8_0 or F16 instead.
  package private(set) var fallbacks: [String] = []

  /// The types `type` may have.
  package static let types: [GGMLType] = GGMLType.encodable

  /// - Throws: for a family, tensor or weight that GGUF has no place for.
  package init(_ source: Checkpoint, type: GGMLType) throws(CheckpointError) {
    self.source = source
    do throws(QuantizationError) { metadata = try GGUFModelMetadata(source.configuration) } catch {
      throw .quantization(path: source.path, error)
    }
    try plan(type)
  }

  private mutating func plan(_ type: GGMLType) throws(CheckpointError) {
    let map = GGUFTensorMap(metadata.architecture)
    var layers: [String: QuantizedLinear] = [:]
    for module in source.linearModules {
      if let layer = try source.linear(module) { layers[module] = layer }
    }
    let replaced = Set(layers.values.flatMap(\.tensorNames))
    let isTied = source.configuration["tie_word_embeddings"]?.bool == true
    for name in source.tensorNames where !replaced.contains(name) {
      guard let entry = source.tensors[name] else { continue }
      if Self.ignored.contains(where: { name.hasSuffix($0) }) { continue }
      if isTied, name == "lm_head.weight" { continue }
      guard let place = map.place(of: name) else {
        throw .quantization(
          path: source.path, .cannotHold(module: name, format: "gguf", reason: "llama.cpp has no such tensor")
        )
      }
      var shape = entry.shape
      if place.layout == .transposedWeight, place.isWeight { shape.reverse() }
      if place.name == "token_embd.weight" { vocabularySize = shape.first ?? 0 }
      planned.append(
        Planned(source: name, place: place, type: chosen(type, shape, name), shape: shape, layer: nil))
    }
    for (module, layer) in layers.sorted(by: { $0.key < $1.key }) {
      guard let place = map.place(of: module + ".weight") else {
        throw .quantization(
          path: source.path,
          .cannotHold(module: module, format: "gguf", reason: "llama.cpp has no such tensor"))
      }
      let store = try source.store(of: layer)
      guard let blocks = GGUFBlocks(store) else {
        throw .quantization(
          path: source.path,
          .cannotHold(
            module: module, format: "gguf",
            reason:
              "no block holds \(store.summary); Q4_0 and Q8_0 hold symmetric groups of 32 with scales that float16 has"
          ))
      }
      planned.append(
        Planned(
          source: module, place: place, type: blocks.type, shape: [layer.outputs, layer.inputs], layer: layer)
      )
    }
    planned.sort { $0.place.name < $1.place.name }
  }

  /// Buffers that are computed.
  private static let ignored = ["rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"]

  private mutating func chosen(_ type: GGMLType, _ shape: [Int], _ name: String) -> GGMLType {
    guard shape.count == 2 else { return .f32 }
    let row = shape[1]
    if row % type.blockElements == 0 { return type }
    fallbacks.append(name)
    return row % GGMLType.q80.blockElements == 0 ? .q80 : .f16
  }

  /// - Parameter tokenizer: the directory of `tokenizer.json`.
  package func write(to path: String, tokenizer: String) throws(CheckpointError) {
    guard !FileSystem.exists(path) else { throw .alreadyExists(path: path) }
    var declarations = planned.map {
      GGUFWriter.Declaration(name: $0.place.name, type: $0.type, shape: $0.shape)
    }
    if let factors = metadata.ropeFactors {
      declarations.append(.init(name: "rope_freqs.weight", type: .f32, shape: [factors.count]))
    }
    var writer = try GGUFWriter(path: path, metadata: try items(tokenizer), tensors: declarations)
    for tensor in planned { try write(tensor, &writer) }
    if let factors = metadata.ropeFactors { try writer.write("rope_freqs.weight", factors) }
    try writer.finish()
  }

  private func items(_ tokenizer: String) throws(CheckpointError) -> [GGUFMetadata.Item] {
    let path = FileSystem.join(tokenizer, "tokenizer.json")
    guard FileSystem.exists(path) else { throw .notFound(path: path) }
    let configurationPath = FileSystem.join(tokenizer, "tokenizer_config.json")
    let configuration =
      FileSystem.exists(configurationPath) ? try Checkpoint.readJSON(configurationPath) : .object([:])
    let tokenizerJSON = try Checkpoint.readJSON(path)
    do throws(QuantizationError) {
      return metadata.items
        + (try GGUFTokenizerMetadata.items(
          tokenizer: tokenizerJSON, configuration: configuration, model: source.configuration,
          vocabularySize: vocabularySize))
    } catch { throw .quantization(path: tokenizer, error) }
  }

  private func write(_ tensor: Planned, _ writer: inout GGUFWriter) throws(CheckpointError) {
    let order = GGUFTensorMap.rowOrder(
      tensor.place.layout, rows: tensor.shape.first ?? 1, heads: metadata.heads,
      keyValueHeads: metadata.keyValueHeads)
    if let layer = tensor.layer {
      guard let blocks = GGUFBlocks(try source.store(of: layer)) else { return }
      let rows = order.map { blocks.tensor.gatheringRows($0) } ?? blocks.tensor
      return try unsafe writer.write(
        tensor.place.name, UnsafeRawBufferPointer(start: rows.view.address, count: rows.byteCount))
    }
    let raw = try source.rawTensor(tensor.source)
    let rows = tensor.shape.first ?? 1
    let columns = raw.elementCount / max(rows, 1)
    var floats = HostTensor.copy(try raw.floats(), .float32, Shape(rows, columns))
    if tensor.place.layout == .transposedWeight, tensor.place.isWeight {
      floats = WordLayouts.transposed(
        Tensor(storage: floats.storage, shape: Shape(columns, rows), dataType: .float32))
    }
    if let order { floats = floats.gatheringRows(order) }
    let values = unsafe UnsafeBufferPointer(
      start: floats.view.address.assumingMemoryBound(to: Float.self), count: rows * columns)
    try writer.write(tensor.place.name, unsafe [Float](values))
    withExtendedLifetime(floats) {}
  }
}

/// A store as the blocks of a GGUF file, where it loses nothing.
struct GGUFBlocks {
  let type: GGMLType
  /// uint8 `[N, bytes of a row]`.
  let tensor: Tensor

  init?(_ store: LinearWeight.Store) {
    switch store {
    case .blocks(let weight):
      type = weight.type
      tensor = weight.blocks
    case .integer(let weight):
      guard weight.groupSize == 32, let scales = weight.scales.asFloat16,
        weight.bits == 4 || weight.bits == 8, case .midpoint = weight.zero, case .natural = weight.order,
        weight.outliers == nil, weight.activations == nil
      else { return nil }
      type = weight.bits == 4 ? .q40 : .q80
      tensor = Self.blocks(of: weight, scales, type)
    case .dense, .float8, .codebook, .spqr, .sparse, .placed: return nil
    }
  }

  /// The inverse of `BlockWeight.integers`.
  private static func blocks(of weight: IntegerWeight, _ halves: Tensor, _ type: GGMLType) -> Tensor {
    let rowBytes = weight.groups * type.blockBytes
    let scales = unsafe UnsafeRawPointer(halves.view.address)
    defer { withExtendedLifetime(halves) {} }
    return unsafe HostTensor.make(.uint8, Shape(weight.outputs, rowBytes)) { bytes in
      for row in 0..<weight.outputs {
        let codes = weight.codes(ofRow: row)
        for group in 0..<weight.groups {
          let block = row * rowBytes + group * type.blockBytes
          let scale = unsafe scales.loadUnaligned(
            fromByteOffset: (row * weight.groups + group) * 2, as: UInt16.self)
          unsafe bytes.storeBytes(of: scale, toByteOffset: block, as: UInt16.self)
          for i in 0..<(type == .q80 ? 32 : 16) {
            let code = codes[group * 32 + i]
            let byte = type == .q80 ? code ^ 0x80 : code | codes[group * 32 + i + 16] << 4
            unsafe bytes[block + 2 + i] = byte
          }
        }
      }
    }
  }
}
