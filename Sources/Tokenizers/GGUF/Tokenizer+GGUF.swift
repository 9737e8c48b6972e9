internal import JSON

extension Tokenizer {
  /// A tokenizer from a GGUF file's vocabulary. It gives the ids of the `tokenizer.json` that the file was
  /// converted from, where the metadata tell enough.
  package convenience init(gguf: GGUFVocabulary) throws(TokenizerError) {
    try gguf.check()
    let parts =
      switch gguf.model {
      case "gpt2": try Self.bytePairParts(gguf)
      case "llama": try Self.sentencePieceParts(gguf)
      case "bert": try Self.wordPieceParts(gguf)
      default:
        throw TokenizerError.unknownValue(
          field: "tokenizer.ggml.model", value: gguf.model, known: ["gpt2", "llama", "bert"])
      }
    let special = SpecialTokenNames(
      bos: gguf.text(of: gguf.bosID), eos: gguf.text(of: gguf.eosID), unk: gguf.text(of: gguf.unknownID),
      pad: gguf.text(of: gguf.padID))
    try self.init(parts, configuration: Self.configuration(gguf, special), special: special)
  }

  /// The metadata in the words of `tokenizer_config.json`.
  private static func configuration(_ gguf: GGUFVocabulary, _ special: SpecialTokenNames) -> JSONValue {
    var object = JSONObject()
    func set(_ key: String, _ text: String?) {
      if let text { object[key] = .string(text) }
    }
    set("bos_token", special.bos)
    set("eos_token", special.eos)
    set("unk_token", special.unk)
    set("pad_token", special.pad)
    set("chat_template", gguf.chatTemplate)
    object["add_bos_token"] = .bool(gguf.addsBOS)
    object["add_eos_token"] = .bool(gguf.addEOS ?? false)
    return .object(object)
  }

  private static func bytePairParts(_ gguf: GGUFVocabulary) throws(TokenizerError) -> TokenizerParts {
    var merges = RawMerges()
    for merge in gguf.merges { merges.append(Array(merge.utf8)) }
    var unspelled: [AddedToken] = []
    let vocabulary = try Vocabulary(
      gguf.raw, field: "tokenizer.ggml.tokens", spellsBytes: true, unspelled: &unspelled)
    let table = try MergeTable(
      merges, vocabulary, field: "tokenizer.ggml.merges", spellsBytes: true, prefixLength: 0)
    let pre = try GGUFPreTokenizer(named: gguf.pre)
    let model = BytePairModel(
      vocabulary: vocabulary, merges: table, symbols: .bytes, ignoresMerges: pre.ignoresMerges)
    return TokenizerParts(
      added: try AddedVocabulary(gguf.addedTokens, unspelled: unspelled, normalizer: pre.normalizer),
      normalizer: pre.normalizer, preTokenizers: pre.stages, model: .bytePair(model),
      postProcessor: gguf.postProcessor, decoder: [.byteLevel])
  }

  private static func sentencePieceParts(_ gguf: GGUFVocabulary) throws(TokenizerError) -> TokenizerParts {
    var unspelled: [AddedToken] = []
    let vocabulary = try Vocabulary(gguf.raw, field: "tokenizer.ggml.tokens", unspelled: &unspelled)
    let model = BytePairModel(
      vocabulary: vocabulary, merges: try gguf.mergesByScore(vocabulary),
      symbols: .characters(byteFallback: true, prefix: [], suffix: []), unknown: gguf.unknownID,
      fusesUnknown: true)
    let space: [UInt8] = [UInt8(ascii: " ")]
    let mark = Array("▁".utf8)
    let addsPrefix = gguf.addSpacePrefix ?? true
    let marking = Normalizer.replace(.literal(space), with: mark)
    let normalizer = addsPrefix ? Normalizer.sequence([.prepend(mark), marking]) : marking
    var decoder: [DecoderStage] = [.replace(.literal(mark), with: space), .byteFallback, .fuse]
    if addsPrefix { decoder.append(.strip(StripStage(content: space, start: 1, stop: 0))) }
    return TokenizerParts(
      added: try AddedVocabulary(gguf.addedTokens, normalizer: normalizer), normalizer: normalizer,
      preTokenizers: [], model: .bytePair(model), postProcessor: gguf.postProcessor, decoder: decoder)
  }

  private static func wordPieceParts(_ gguf: GGUFVocabulary) throws(TokenizerError) -> TokenizerParts {
    guard let unknown = gguf.unknownID else { throw .missing(field: "tokenizer.ggml.unknown_token_id") }
    var raw = RawVocabulary()
    for token in gguf.tokens { raw.append(WordPieceSpelling.unmarked(token)) }
    var unspelled: [AddedToken] = []
    let vocabulary = try Vocabulary(raw, field: "tokenizer.ggml.tokens", unspelled: &unspelled)
    let normalizer = Normalizer.bert(
      BertNormalizer(
        cleansText: true, isolatesChineseCharacters: true, stripsAccents: true, lowercases: true))
    var processor: PostProcessor?
    if let cls = gguf.classifierID ?? gguf.bosID, let sep = gguf.separatorID ?? gguf.eosID {
      processor = .bert(cls: cls, sep: sep)
    }
    return TokenizerParts(
      added: try AddedVocabulary(gguf.addedTokens, normalizer: normalizer), normalizer: normalizer,
      preTokenizers: [.bert],
      model: .wordPiece(
        WordPieceModel(
          vocabulary: vocabulary, prefix: WordPieceSpelling.prefix, unknown: unknown, longestWord: 100)),
      postProcessor: processor, decoder: [.wordPiece(prefix: WordPieceSpelling.prefix, cleansUp: true)])
  }
}

/// GGUF marks the beginning of a word ("▁ing" and "ing"), WordPiece its continuation ("ing" and "##ing").
enum WordPieceSpelling {
  static let prefix = Array("##".utf8)
  private static let mark = Array("▁".utf8)

  static func unmarked(_ token: [UInt8]) -> [UInt8] {
    if token.starts(with: mark) { return Array(token.dropFirst(mark.count)) }
    let isSpecial = token.first == UInt8(ascii: "[") && token.last == UInt8(ascii: "]")
    return isSpecial ? token : prefix + token
  }
}
