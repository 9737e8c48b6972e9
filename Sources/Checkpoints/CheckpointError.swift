package import JSON

/// Why a checkpoint could not be read or written. `description` says what, where and what to do.
package enum CheckpointError: Error, Equatable, Sendable {
  case notFound(path: String)
  case notReadable(path: String)
  case notAFile(path: String)
  /// A system call failed; `code` is `errno`.
  case inputOutput(operation: String, path: String, code: Int32)

  case noConfiguration(directory: String)
  case noWeights(directory: String)
  /// Only weights in a format that is not read here, such as PyTorch's pickles.
  case foreignWeights(directory: String, file: String, kind: ForeignWeights)
  case ambiguousWeights(directory: String, files: [String])
  case notACheckpoint(path: String)

  case json(file: String, JSONError)
  case configurationIsNoObject(file: String)
  case tooLarge(file: String, bytes: Int, limit: Int)
  case safetensors(file: String, SafetensorsError)
  case index(file: String, ShardIndexError)
  case gguf(file: String, GGUFError)
  case quantization(path: String, QuantizationError)

  case tensorMissing(name: String, path: String)
  case cannotConvert(name: String, dataType: String, to: String)
  case write(path: String, WriteProblem)
  /// A conversion of quantised layers was asked for, and there are none.
  case nothingToConvert(path: String)
  case alreadyExists(path: String)

  package enum ForeignWeights: String, Sendable {
    case pickle, adapter, gguf, tensorFlow
  }

  package enum WriteProblem: Equatable, Sendable {
    case duplicateTensor(String)
    case unknownTensor(String)
    case sizeMismatch(tensor: String, declared: Int, given: Int)
    case incomplete(tensor: String)
    case badShape(tensor: String)
    case unsupportedType(tensor: String, type: String)
    case headerTooLarge(bytes: Int)
  }
}

extension CheckpointError {
  /// What the process should exit with, after sysexits: 66 no input, 65 bad data, 74 input or output failed.
  package var exitCode: Int32 {
    switch self {
    case .notFound, .notReadable, .notAFile, .noConfiguration, .noWeights: 66
    case .inputOutput, .alreadyExists: 74
    case .foreignWeights, .ambiguousWeights, .notACheckpoint, .json, .configurationIsNoObject, .tooLarge,
      .safetensors, .index, .gguf, .quantization, .tensorMissing, .cannotConvert,
      .nothingToConvert:
      65
    case .write: 70
    }
  }
}
