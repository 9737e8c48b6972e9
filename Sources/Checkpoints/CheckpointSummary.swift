package import JSON
internal import Numerics

/// What `gpuinfer inspect` shows of a checkpoint: plain data, counted from the directories without reading a weight.
package struct CheckpointSummary: Sendable, Equatable {
  package struct Tensor: Sendable, Equatable {
    package let name: String
    /// As stored: `bfloat16`, `Q4_K`, ….
    package let format: String
    /// Outermost first.
    package let shape: [Int]
    package let elements: Int
    /// In the file.
    package let bytes: Int
  }

  /// All tensors stored in one format.
  package struct Format: Sendable, Equatable {
    package let name: String
    package let tensors: Int
    package let elements: Int
    package let bytes: Int
  }

  package struct File: Sendable, Equatable {
    package let path: String
    package let bytes: Int
  }

  package let path: String
  package let kind: Checkpoint.Kind
  /// The first of `architectures`.
  package let architecture: String?
  package let modelType: String?
  /// `quantization_config.quant_method`, if there is one.
  package let quantization: String?
  /// Sorted by name.
  package let tensors: [Tensor]
  /// The largest share of the bytes first.
  package let formats: [Format]
  package let files: [File]

  /// Elements of all tensors. Weights packed by a quantisation method count as their words.
  package var parameterCount: Int { tensors.reduce(0) { $0 + $1.elements } }
  /// Bytes of all tensors.
  package var tensorBytes: Int { tensors.reduce(0) { $0 + $1.bytes } }
  package var fileBytes: Int { files.reduce(0) { $0 + $1.bytes } }

  package init(_ checkpoint: Checkpoint) {
    path = checkpoint.path
    kind = checkpoint.kind
    architecture = checkpoint.configuration["architectures"]?[0]?.string
    modelType = checkpoint.configuration["model_type"]?.string
    quantization = checkpoint.configuration["quantization_config"]?["quant_method"]?.string
    let tensors = checkpoint.tensorNames.compactMap { checkpoint.tensors[$0] }.map { entry in
      Tensor(
        name: entry.name, format: entry.storage.name, shape: entry.shape, elements: entry.elementCount,
        bytes: entry.byteRange.count)
    }
    self.tensors = tensors
    formats = Dictionary(grouping: tensors, by: \.format).map { name, group in
      Format(
        name: name, tensors: group.count, elements: group.reduce(0) { $0 + $1.elements },
        bytes: group.reduce(0) { $0 + $1.bytes })
    }.sorted { ($1.bytes, $0.name) < ($0.bytes, $1.name) }
    files = checkpoint.files.map { File(path: $0.path, bytes: $0.byteCount) }
  }

  /// The summary as the document `gpuinfer inspect --json` prints.
  package var json: JSONValue {
    [
      "path": .string(path),
      "kind": .string(kind.rawValue),
      "architecture": architecture.map { .string($0) } ?? .null,
      "model_type": modelType.map { .string($0) } ?? .null,
      "quantization": quantization.map { .string($0) } ?? .null,
      "parameters": Self.number(parameterCount),
      "tensor_bytes": Self.number(tensorBytes),
      "file_bytes": Self.number(fileBytes),
      "formats": .array(
        formats.map { format in
          [
            "name": .string(format.name), "tensors": Self.number(format.tensors),
            "elements": Self.number(format.elements), "bytes": Self.number(format.bytes),
          ]
        }),
      "files": .array(files.map { ["path": .string($0.path), "bytes": Self.number($0.bytes)] }),
      "tensors": .array(
        tensors.map { tensor in
          [
            "name": .string(tensor.name), "format": .string(tensor.format),
            "shape": .array(tensor.shape.map(Self.number)), "bytes": Self.number(tensor.bytes),
          ]
        }),
    ]
  }

  private static func number(_ value: Int) -> JSONValue { .integer(Int64(value)) }
}

extension TensorStorage {
  /// For listings and messages.
  package var name: String {
    switch self {
    case .plain(let type): type.rawValue
    case .blocks(let type): type.name
    }
  }
}
