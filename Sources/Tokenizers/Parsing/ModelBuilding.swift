internal import JSON

extension Vocabulary {
  /// - Parameters:
  ///   - spellsBytes: tokens are written with the byte alphabet and are kept as bytes.
  ///   - unspelled: receives the tokens that are no bytes in that alphabet; no text is ever encoded to them.
  init(
    _ raw: RawVocabulary, field: String, spellsBytes: Bool = false, unspelled: inout [AddedToken]
  ) throws(TokenizerError) {
    self.init()
    reserve(tokens: raw.count, bytes: raw.text.count)
    let text = raw.text.span
    var bytes: [UInt8] = []
    for index in 0..<raw.count {
      let id = raw.ids[index]
      guard (0..<Self.idLimit).contains(id) else {
        throw .outOfRange(
          field: "\(field)[\"\(raw.string(index))\"]", value: "\(id)", allowed: "0..<\(Self.idLimit)")
      }
      let token = text.extracting(raw.range(index))
      do throws(InsertionFailure) {
        if !spellsBytes {
          try insert(token, id: id)
        } else {
          bytes.removeAll(keepingCapacity: true)
          if ByteAlphabet.appendBytes(of: token, to: &bytes) {
            try insert(bytes.span, id: id)
          } else {
            unspelled.append(AddedToken(id: Int32(id), content: Array(token)))
          }
        }
      } catch {
        let reason = error == .idTaken ? "id \(id) is used twice" : "the token is there twice"
        throw .conflict(field: "\(field)[\"\(raw.string(index))\"]", reason: reason)
      }
    }
  }
}

extension MergeTable {
  /// - Parameter prefixLength: bytes that a right half loses when it is joined (`continuing_subword_prefix`).
  init(
    _ raw: RawMerges, _ vocabulary: Vocabulary, field: String, spellsBytes: Bool, prefixLength: Int
  ) throws(TokenizerError) {
    self.init(capacity: raw.count)
    let text = raw.text.span
    var left: [UInt8] = []
    var right: [UInt8] = []
    var joined: [UInt8] = []
    func read(_ range: Range<Int>, into half: inout [UInt8]) -> Int32 {
      half.removeAll(keepingCapacity: true)
      if !spellsBytes {
        half.append(text.extracting(range))
      } else if !ByteAlphabet.appendBytes(of: text.extracting(range), to: &half) {
        return -1
      }
      return vocabulary.id(of: half.span)
    }
    func string(_ range: Range<Int>) -> String { String(decoding: raw.text[range], as: UTF8.self) }
    for index in 0..<raw.count {
      if raw.left(index).isEmpty || raw.right(index).isEmpty {
        throw .wrongType(field: "\(field)[\(index)]", expected: "two tokens, \"left right\"")
      }
      let leftID = read(raw.left(index), into: &left)
      if leftID < 0 { throw .unknownToken(field: "\(field)[\(index)]", token: string(raw.left(index))) }
      let rightID = read(raw.right(index), into: &right)
      if rightID < 0 { throw .unknownToken(field: "\(field)[\(index)]", token: string(raw.right(index))) }
      joined.removeAll(keepingCapacity: true)
      joined.append(left.span)
      joined.append(contentsOf: right.dropFirst(prefixLength))
      let id = vocabulary.id(of: joined.span)
      if id < 0 {
        let right = raw.right(index).dropFirst(prefixLength)
        throw .unknownToken(field: "\(field)[\(index)]", token: string(raw.left(index)) + string(right))
      }
      insert(leftID, rightID, Self.merge(rank: index, into: id))
    }
  }
}

extension TokenModel {
  /// - Parameters:
  ///   - followsByteLevel: the pieces come from a `ByteLevel` stage.
  ///   - unspelled: see `Vocabulary.init`.
  init(
    _ file: TokenizerFile, followsByteLevel: Bool, unspelled: inout [AddedToken]
  ) throws(TokenizerError) {
    let fields = try Fields(.object(file.model), at: "model")
    if file.vocabulary.count == 0 { throw .missing(field: "model.vocab") }
    let named = try fields.optionalString("type")
    let type = if let named { named } else { try Self.impliedType(file) }
    switch type {
    case "BPE":
      self = .bytePair(
        try Self.bytePair(file, fields, followsByteLevel: followsByteLevel, unspelled: &unspelled))
    case "Unigram":
      guard file.vocabulary.scores.count == file.vocabulary.count else {
        throw .wrongType(field: "model.vocab", expected: "a list of [token, score]")
      }
      let vocabulary = try Vocabulary(file.vocabulary, field: "model.vocab", unspelled: &unspelled)
      let hasUnknown = fields.optional("unk_id") != nil
      let unknown = hasUnknown ? Int32(try fields.int("unk_id", in: 0...file.vocabulary.count - 1)) : nil
      self = .unigram(
        UnigramModel(
          vocabulary: vocabulary, scores: file.vocabulary.scores, unknown: unknown,
          byteFallback: try fields.bool("byte_fallback", default: false)))
    case "WordPiece":
      let vocabulary = try Self.mapped(file, &unspelled)
      self = .wordPiece(
        WordPieceModel(
          vocabulary: vocabulary,
          prefix: Array(try (fields.optionalString("continuing_subword_prefix") ?? "##").utf8),
          unknown: try Self.unknown(fields, vocabulary, default: "[UNK]"),
          longestWord: try fields.int("max_input_chars_per_word", in: 0...1 << 20, default: 100)))
    case "WordLevel":
      let vocabulary = try Self.mapped(file, &unspelled)
      let unknown = try Self.unknown(fields, vocabulary, default: "<unk>")
      self = .wordLevel(WordLevelModel(vocabulary: vocabulary, unknown: unknown))
    default: throw fields.unknown("type", type, known: Self.names)
    }
  }

  /// Old files don't name their model.
  private static func impliedType(_ file: TokenizerFile) throws(TokenizerError) -> String {
    if !file.vocabulary.scores.isEmpty { return "Unigram" }
    if file.merges.count > 0 { return "BPE" }
    throw .missing(field: "model.type")
  }

  private static func mapped(
    _ file: TokenizerFile, _ unspelled: inout [AddedToken]
  ) throws(TokenizerError) -> Vocabulary {
    if !file.vocabulary.scores.isEmpty { throw .wrongType(field: "model.vocab", expected: "an object") }
    return try Vocabulary(file.vocabulary, field: "model.vocab", unspelled: &unspelled)
  }

  private static func unknown(
    _ fields: Fields, _ vocabulary: Vocabulary, default fallback: String
  ) throws(TokenizerError) -> Int32 {
    let token = try fields.optionalString("unk_token") ?? fallback
    let id = vocabulary.id(of: token.utf8)
    if id < 0 { throw .unknownToken(field: "model.unk_token", token: token) }
    return id
  }

  private static func bytePair(
    _ file: TokenizerFile, _ fields: Fields, followsByteLevel: Bool, unspelled: inout [AddedToken]
  ) throws(TokenizerError) -> BytePairModel {
    if let dropout = fields.optional("dropout"), dropout.double != 0 {
      throw .unsupported(field: "model.dropout", reason: "random merges are for training; set it to null")
    }
    if !file.vocabulary.scores.isEmpty { throw .wrongType(field: "model.vocab", expected: "an object") }
    let prefix = Array(try (fields.optionalString("continuing_subword_prefix") ?? "").utf8)
    let suffix = Array(try (fields.optionalString("end_of_word_suffix") ?? "").utf8)
    let byteFallback = try fields.bool("byte_fallback", default: false)
    let holdsBytes = followsByteLevel && prefix.isEmpty && suffix.isEmpty && !byteFallback
    let vocabulary = try Vocabulary(
      file.vocabulary, field: "model.vocab", spellsBytes: holdsBytes, unspelled: &unspelled)
    let merges = try MergeTable(
      file.merges, vocabulary, field: "model.merges", spellsBytes: holdsBytes, prefixLength: prefix.count)
    var unknown: Int32?
    if let token = try fields.optionalString("unk_token") {
      var spelling = Array(token.utf8)
      if holdsBytes {
        spelling = []
        if !ByteAlphabet.appendBytes(of: Array(token.utf8).span, to: &spelling) { spelling = [] }
      }
      let id = vocabulary.id(of: spelling.span)
      if id < 0 { throw .unknownToken(field: "model.unk_token", token: token) }
      unknown = id
    }
    return BytePairModel(
      vocabulary: vocabulary, merges: merges,
      symbols: holdsBytes ? .bytes : .characters(byteFallback: byteFallback, prefix: prefix, suffix: suffix),
      ignoresMerges: try fields.bool("ignore_merges", default: false), unknown: unknown,
      fusesUnknown: try fields.bool("fuse_unk", default: false))
  }
}
