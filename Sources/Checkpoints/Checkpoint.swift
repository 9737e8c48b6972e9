package import JSON
internal import Numerics

/// A model on disk: configuration and tensors under their Hugging Face names, whatever the format.
///
/// Opening maps the files and reads their directories; the tensors' bytes are read when they are asked for.
package final class Checkpoint: Sendable {
  package enum Kind: String, Sendable {
    case safetensors, gguf
  }

  /// Where the tokenizer of the model is to be found.
  package enum TokenizerSource: Sendable {
    case huggingFaceDirectory(String)
    case gguf(GGUFMetadata)
  }

  /// The directory, or the GGUF file, as it was given.
  package let path: String
  package let kind: Kind
  /// `config.json`, always an object. For GGUF made from the metadata with the same keys.
  package let configuration: JSONValue
  /// `generation_config.json`, an object. For GGUF made from the metadata.
  package let generationConfiguration: JSONValue?
  package let files: [MappedFile]
  package let tensors: [String: TensorEntry]
  /// Sorted.
  package let tensorNames: [String]
  package let tokenizerSource: TokenizerSource
  /// What `quantization_config` says; nil where there is none.
  let quantization: QuantizationConfiguration?
  /// What turns the tensors of a GGUF file into those of the Hugging Face checkpoint.
  private let reordering: [String: TensorReordering]

  /// Opens a directory with `config.json` and safetensors, or a GGUF file.
  package static func open(_ path: String) throws(CheckpointError) -> Checkpoint {
    FileSystem.isDirectory(path) ? try openDirectory(path) : try openFile(path)
  }

  init(
    path: String, kind: Kind, configuration: JSONValue, generationConfiguration: JSONValue?,
    files: [MappedFile], entries: [TensorEntry], tokenizerSource: TokenizerSource,
    quantization: QuantizationConfiguration? = nil, reordering: [String: TensorReordering] = [:]
  ) {
    self.path = path
    self.kind = kind
    self.configuration = configuration
    self.generationConfiguration = generationConfiguration
    self.files = files
    self.tokenizerSource = tokenizerSource
    self.quantization = quantization
    self.reordering = reordering
    tensors = [String: TensorEntry](entries.map { ($0.name, $0) }) { first, _ in first }
    tensorNames = tensors.keys.sorted()
  }

  /// The metadata of a GGUF file; nil for safetensors.
  package var ggufMetadata: GGUFMetadata? {
    if case .gguf(let metadata) = tokenizerSource { metadata } else { nil }
  }

  /// The elements of a tensor, borrowed from the mapped file if they lie there as they are needed.
  ///
  /// Quantised GGUF blocks are decoded to float32 into new memory at each call, on the calling thread.
  package func rawTensor(_ name: String) throws(CheckpointError) -> RawTensor {
    guard let entry = tensors[name] else { throw .tensorMissing(name: name, path: path) }
    guard let reordering = reordering[name] else { return stored(entry, shape: entry.shape) }
    return reordering.apply(to: stored(entry, shape: reordering.storedShape(of: entry.shape)))
  }

  /// The shape a tensor has in its file.
  func storedShape(_ name: String) -> [Int] {
    guard let entry = tensors[name] else { return [] }
    return reordering[name]?.storedShape(of: entry.shape) ?? entry.shape
  }

  /// The bytes of a tensor of quantised blocks, outputs first, each row a row of Hugging Face's.
  func blockTensor(_ name: String) throws(CheckpointError) -> RawTensor {
    guard let entry = tensors[name] else { throw .tensorMissing(name: name, path: path) }
    let shape = storedShape(name)
    let bytes = unsafe UnsafeRawBufferPointer(rebasing: files[entry.file].bytes[entry.byteRange])
    let rows = shape.first ?? 1
    let raw = unsafe RawTensor(
      name: name, dataType: .uint8, shape: [rows, bytes.count / max(rows, 1)], bytes: bytes,
      owner: files[entry.file])
    // Rows move whole; the transposition that GPT-2 asks for is what `outputs first` leaves out.
    guard let reordering = reordering[name], reordering != .transposed else { return raw }
    return reordering.apply(to: raw)
  }

  /// A hint that all tensors will be read soon, from the start of each file to its end.
  package func prefetch() {
    for file in files { file.advise(.willNeed) }
  }

  /// The tensor in the order of the file.
  private func stored(_ entry: TensorEntry, shape: [Int]) -> RawTensor {
    let file = files[entry.file]
    let source = unsafe UnsafeRawBufferPointer(rebasing: file.bytes[entry.byteRange])
    switch entry.storage {
    case .plain(let type):
      let isAligned = UInt(bitPattern: source.baseAddress) % UInt(type.byteCount) == 0
      if isAligned {
        return unsafe RawTensor(
          name: entry.name, dataType: type, shape: shape, bytes: source, owner: file)
      }
      let copy = OwnedBytes(byteCount: source.count)
      unsafe copy.mutableBytes.copyMemory(from: source)
      return unsafe RawTensor(
        name: entry.name, dataType: type, shape: shape, bytes: copy.bytes, owner: copy)
    case .blocks(let type):
      let decoded = OwnedBytes(byteCount: entry.elementCount * 4)
      unsafe type.decode(source, into: decoded.mutableBytes.bindMemory(to: Float.self))
      return unsafe RawTensor(
        name: entry.name, dataType: .float32, shape: shape, bytes: decoded.bytes, owner: decoded)
    }
  }
}
