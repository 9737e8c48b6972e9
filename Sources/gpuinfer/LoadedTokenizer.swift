internal import Checkpoints
internal import Generation
internal import Tokenizers

/// The tokenizer of a model directory or a GGUF file.
enum LoadedTokenizer {
  /// Needs no weights beside the tokenizer.
  static func load(_ path: String) throws -> Tokenizer {
    if path.hasSuffix(".gguf") { return try load(try Checkpoint.open(path)) }
    return try Tokenizer.load(directory: path)
  }

  static func load(_ checkpoint: Checkpoint) throws -> Tokenizer { try LoadedModel.tokenizer(of: checkpoint) }
}
