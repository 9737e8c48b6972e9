package import JSON

/// Text to token ids and back, as described by a Hugging Face `tokenizer.json` or a GGUF vocabulary.
///
/// Immutable and safe to use from many threads at once.
package final class Tokenizer: Sendable {
  /// `tokenizer_config.json`, or what a GGUF file says in its words; an empty object when there is none.
  package let configuration: JSONValue
  /// One more than the greatest token id.
  package let vocabularySize: Int

  package let bosToken: String?
  package let eosToken: String?
  package let unkToken: String?
  package let padToken: String?
  package let bosID: Int32?
  package let eosID: Int32?
  package let unkID: Int32?
  package let padID: Int32?

  /// Reads `tokenizer.json` and, where they exist, `tokenizer_config.json` and `special_tokens_map.json`.
  package static func load(directory: String) throws(TokenizerError) -> Tokenizer {
    throw .fileNotFound(path: directory + "/tokenizer.json")
  }

  /// - Parameters:
  ///   - json: the bytes of a `tokenizer.json`.
  ///   - configuration: the parsed `tokenizer_config.json`.
  package init(json: [UInt8], configuration: JSONValue?) throws(TokenizerError) {
    throw .missing(field: "model")
  }

  package init(gguf: GGUFVocabulary) throws(TokenizerError) {
    throw .missing(field: "tokenizer.ggml.tokens")
  }

  /// - Parameters:
  ///   - addSpecialTokens: apply the post-processor, which adds tokens such as BOS or `[CLS]`.
  ///   - parseSpecialTokens: a special token written in the text becomes that token; otherwise it is plain text.
  package func encode(
    _ text: String, addSpecialTokens: Bool = true, parseSpecialTokens: Bool = true
  ) throws(TokenizerError) -> [Int32] {
    []
  }

  /// Bytes that are no valid UTF-8 are encoded one by one by tokenizers that know all bytes; others see U+FFFD.
  package func encode(
    _ text: [UInt8], addSpecialTokens: Bool = true, parseSpecialTokens: Bool = true
  ) throws(TokenizerError) -> [Int32] {
    []
  }

  /// Two texts as one input, with the segment number of each token (BERT's `token_type_ids`).
  package func encodePair(
    _ first: String, _ second: String, addSpecialTokens: Bool = true, parseSpecialTokens: Bool = true
  ) throws(TokenizerError) -> (ids: [Int32], typeIDs: [Int32]) {
    ([], [])
  }

  /// Ids without a token are passed over; bytes that form no UTF-8 become U+FFFD.
  package func decode(_ ids: some Sequence<Int32>, skipSpecialTokens: Bool = false) -> String { "" }

  /// The bytes a token adds to a text when it does not come first; empty for an id without a token.
  package func bytes(of id: Int32) -> [UInt8] { [] }

  /// The token as the vocabulary spells it: `Ġthe`, `▁the`, `##ing`, `<0x0A>`.
  package func token(of id: Int32) -> String? { nil }

  package func id(of token: String) -> Int32? { nil }

  package func isSpecial(_ id: Int32) -> Bool { false }
}
