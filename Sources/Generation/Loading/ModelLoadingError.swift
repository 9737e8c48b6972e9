package import Checkpoints
package import Models
package import Tokenizers

/// Why a model does not load.
package enum ModelLoadingError: Error, Equatable, Sendable {
  case checkpoint(CheckpointError)
  case model(ModelError)
  case tokenizer(TokenizerError)
  case field(file: String, field: String, found: String, allowed: String)
  case metadata(path: String, GGUFError)
  /// A limit the user gave makes no sense, by the name of its flag.
  case option(name: String, found: String, allowed: String)
  /// The device cannot hold the model with one sequence of the length asked for.
  case memory(MemoryShortage)
  /// A draft model cannot draft for the model.
  case draft(path: String, reason: String)
}

/// What was to be reserved, and what there is.
package struct MemoryShortage: Equatable, Sendable {
  package var weightBytes: Int
  package var workspaceBytes: Int
  /// For the fewest blocks that make sense.
  package var cacheBytes: Int
  package var tokens: Int
  /// For weights, workspace and cache; nil when only the cache is limited, to `cacheLimit`.
  package var availableBytes: Int?
  package var cacheLimit: Int?

  package var missingBytes: Int {
    if let availableBytes { return weightBytes + workspaceBytes + cacheBytes - availableBytes }
    return cacheBytes - (cacheLimit ?? 0)
  }
}

extension ModelLoadingError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .checkpoint(let error): return "\(error)"
    case .model(let error): return "\(error)"
    case .tokenizer(let error): return "\(error)"
    case .field(let file, let field, let found, let allowed):
      return "\(file): field \"\(field)\" is \(found); it must be \(allowed)"
    case .metadata(let path, let error): return "\(path): \(error)"
    case .option(let name, let found, let allowed): return "\(name) is \(found); it must be \(allowed)"
    case .memory(let shortage): return shortage.description
    case .draft(let path, let reason):
      return "\(path) cannot draft for this model: \(reason); a draft model must have the same vocabulary"
    }
  }

  /// What the process should exit with, after sysexits: 64 usage, 65 bad data, 66 no input, 69 unavailable.
  package var exitCode: Int32 {
    switch self {
    case .checkpoint(let error), .model(.checkpoint(let error)): error.exitCode
    case .tokenizer(.fileNotFound), .tokenizer(.inFile(_, .fileNotFound)): 66
    case .option, .model(.limit), .model(.quantised): 64
    case .memory, .model(.kernel): 69
    case .model, .tokenizer, .field, .metadata, .draft: 65
    }
  }
}

extension MemoryShortage: CustomStringConvertible {
  private func mebibytes(_ bytes: Int) -> String { "\((bytes + 1_048_575) >> 20) MiB" }

  package var description: String {
    let cache = "\(mebibytes(cacheBytes)) of keys and values for one sequence of \(tokens) tokens"
    guard let availableBytes else {
      return
        "the key/value cache misses its size by \(mebibytes(missingBytes)): \(cache) are needed and "
        + "--kv-cache-memory-bytes allows \(mebibytes(cacheLimit ?? 0)); raise it or lower --max-model-len"
    }
    return
      "the device misses the reservation by \(mebibytes(missingBytes)): \(mebibytes(weightBytes)) of weights, "
      + "\(mebibytes(workspaceBytes)) of workspace and \(cache) are needed, and \(mebibytes(availableBytes)) are "
      + "available; lower --max-model-len, --max-num-batched-tokens or --max-num-seqs"
  }
}
