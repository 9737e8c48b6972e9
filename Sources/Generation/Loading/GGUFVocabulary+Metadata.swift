package import Checkpoints
package import Tokenizers

extension GGUFVocabulary {
  /// Reads the `tokenizer.*` keys of a GGUF file.
  package init(_ metadata: GGUFMetadata) throws(GGUFError) {
    let prefix = "tokenizer.ggml."
    guard let model = try metadata.string(prefix + "model") else { throw .missingKey(prefix + "model") }
    guard let tokens = try metadata.strings(prefix + "tokens") else { throw .missingKey(prefix + "tokens") }
    func id(_ name: String) throws(GGUFError) -> Int32? {
      guard let value = try metadata.int(prefix + name) else { return nil }
      // Some writers state "none" as 2³² − 1.
      return Int32(exactly: value)
    }
    self.init(model: model, tokens: tokens.map { $0 })
    pre = try metadata.string(prefix + "pre") ?? "default"
    scores = try metadata.floats(prefix + "scores") ?? []
    tokenTypes = (try metadata.ints(prefix + "token_type") ?? []).map { Int32(clamping: $0) }
    merges =
      (try metadata.strings(prefix + "merges")).map { strings in
        strings.map { String(decoding: $0, as: UTF8.self) }
      } ?? []
    bosID = try id("bos_token_id")
    eosID = try id("eos_token_id")
    unknownID = try id("unknown_token_id")
    padID = try id("padding_token_id")
    classifierID = try id("cls_token_id")
    separatorID = try id("seperator_token_id")
    addBOS = try metadata.bool(prefix + "add_bos_token")
    addEOS = try metadata.bool(prefix + "add_eos_token")
    addSpacePrefix = try metadata.bool(prefix + "add_space_prefix")
    chatTemplate = try metadata.string("tokenizer.chat_template")
  }
}
