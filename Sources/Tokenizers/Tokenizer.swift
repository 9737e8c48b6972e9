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

  let parts: TokenizerParts
  let decoding: DecodingTables
  let idleScratch = ScratchPool()

  /// The scanner that does all the cutting, where the stages amount to one.
  let scanner: PieceScanner?
  let affixes: (before: [Int32], after: [Int32])

  init(
    _ parts: TokenizerParts, configuration: JSONValue, special: SpecialTokenNames
  ) throws(TokenizerError) {
    self.parts = parts
    self.configuration = configuration
    let decoding = try DecodingTables(
      parts.decoder, vocabulary: parts.model.vocabulary, added: parts.added,
      holdsBytes: parts.model.holdsBytes)
    self.decoding = decoding
    vocabularySize = max(parts.model.vocabulary.endID, parts.added.endID)
    scanner = PreTokenizer.scanner(for: parts.preTokenizers)
    affixes = parts.postProcessor.singleAffixes

    func id(_ token: String?) -> Int32? { token.flatMap { Self.id(of: $0, parts) } }
    let modelUnknown = parts.model.unknown.flatMap(decoding.spelling).map {
      String(decoding: $0, as: UTF8.self)
    }
    bosToken = special.bos
    eosToken = special.eos
    padToken = special.pad
    unkToken = special.unk ?? modelUnknown
    bosID = id(special.bos)
    eosID = id(special.eos)
    padID = id(special.pad)
    unkID = id(special.unk) ?? parts.model.unknown
  }

  /// - Parameters:
  ///   - json: the bytes of a `tokenizer.json`.
  ///   - configuration: the parsed `tokenizer_config.json`.
  package convenience init(json: [UInt8], configuration: JSONValue?) throws(TokenizerError) {
    try self.init(json: json, configuration: configuration, specialTokensMap: nil)
  }

  convenience init(
    json: [UInt8], configuration: JSONValue?, specialTokensMap: JSONValue?
  ) throws(TokenizerError) {
    let parts = try TokenizerParts(try TokenizerFile(json))
    try self.init(
      parts, configuration: configuration ?? .object([:]),
      special: SpecialTokenNames(configuration, fallback: specialTokensMap))
  }
}

// MARK: Tokens

extension Tokenizer {
  /// The bytes a token adds to a text when it does not come first; empty for an id without a token.
  package func bytes(of id: Int32) -> [UInt8] { decoding.texts.text(of: id) }

  /// The token as the vocabulary spells it: `Ġthe`, `▁the`, `##ing`, `<0x0A>`.
  package func token(of id: Int32) -> String? {
    decoding.spelling(of: id).map { String(decoding: $0, as: UTF8.self) }
  }

  /// The id of a token as the vocabulary spells it.
  package func id(of token: String) -> Int32? { Self.id(of: token, parts) }

  private static func id(of token: String, _ parts: TokenizerParts) -> Int32? {
    var spelling = Array(token.utf8)
    if let id = parts.added.id(of: spelling) { return id }
    if parts.model.holdsBytes {
      spelling = []
      if !ByteAlphabet.appendBytes(of: Array(token.utf8).span, to: &spelling) { return nil }
    }
    let id = parts.model.vocabulary.id(of: spelling.span)
    return id < 0 ? nil : id
  }

  /// Whether a token is one of those that decoding leaves out on request.
  package func isSpecial(_ id: Int32) -> Bool { decoding.texts.isSpecial(id) }
}

// MARK: Decoding

extension Tokenizer {
  /// Ids without a token are passed over; bytes that form no UTF-8 become U+FFFD.
  package func decode(_ ids: some Sequence<Int32>, skipSpecialTokens: Bool = false) -> String {
    String(decoding: decodeBytes(ids, skipSpecialTokens: skipSpecialTokens), as: UTF8.self)
  }

  /// Like `decode`, but of a byte-level vocabulary the bytes as they are.
  package func decodeBytes(_ ids: some Sequence<Int32>, skipSpecialTokens: Bool = false) -> [UInt8] {
    // A list of a known type is walked much faster.
    decoding.decode(Array(ids), skipSpecialTokens: skipSpecialTokens)
  }
}
