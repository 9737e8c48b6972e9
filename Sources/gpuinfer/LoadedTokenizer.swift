internal import Checkpoints
internal import Tokenizers

enum LoadedTokenizer {
  static func load(_ path: String) throws -> Tokenizer { try Tokenizer.load(directory: path) }
  static func load(_ checkpoint: Checkpoint) throws -> Tokenizer {
    try Tokenizer.load(directory: checkpoint.path)
  }
}
