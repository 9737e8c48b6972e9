internal import Checkpoints
internal import Glibc

/// Files beside the weights.
enum FileNames {
  /// What a model directory may hold beside weights, index and config.json, all small.
  private static let companions = [
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json",
    "chat_template.jinja", "vocab.json", "merges.txt", "tokenizer.model", "added_tokens.json", "LICENSE",
  ]

  static func copyCompanions(from source: String, to target: String) throws {
    for name in companions where unsafe access(source + "/" + name, R_OK) == 0 {
      let file = try MappedFile(path: source + "/" + name)
      let bytes = unsafe file.withBytes { bytes in unsafe [UInt8](bytes) }
      try Journal.write(bytes, to: target + "/" + name)
    }
  }

  static func isSame(_ a: String, _ b: String) -> Bool {
    var (left, right) = (stat(), stat())
    guard unsafe stat(a, &left) == 0, unsafe stat(b, &right) == 0 else { return false }
    return left.st_dev == right.st_dev && left.st_ino == right.st_ino
  }
}
