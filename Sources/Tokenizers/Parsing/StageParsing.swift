internal import JSON

/// Sequences of sequences are read recursively.
private let deepestNesting = 16

extension Normalizer {
  init(_ fields: Fields, depth: Int = 0) throws(TokenizerError) {
    let type = try fields.string("type")
    switch type {
    case "NFC": self = .form(.nfc)
    case "NFD": self = .form(.nfd)
    case "NFKC": self = .form(.nfkc)
    case "NFKD": self = .form(.nfkd)
    case "Lowercase": self = .lowercase
    case "StripAccents": self = .stripAccents
    case "Strip":
      self = .strip(
        left: try fields.bool("strip_left", default: true),
        right: try fields.bool("strip_right", default: true))
    case "Prepend": self = .prepend(try fields.insertion("prepend"))
    case "Replace": self = .replace(try fields.pattern("pattern"), with: try fields.insertion("content"))
    case "Nmt": self = .nmt
    case "ByteLevel": self = .byteLevel
    case "BertNormalizer":
      let lowercases = try fields.bool("lowercase", default: true)
      self = .bert(
        BertNormalizer(
          cleansText: try fields.bool("clean_text", default: true),
          isolatesChineseCharacters: try fields.bool("handle_chinese_chars", default: true),
          stripsAccents: try fields.bool("strip_accents", default: lowercases), lowercases: lowercases))
    case "Precompiled":
      guard let map = Base64.decode(try fields.string("precompiled_charsmap")),
        let normalizer = PrecompiledNormalizer(map: map)
      else {
        throw .unsupported(
          field: fields.path("precompiled_charsmap"), reason: "is not a SentencePiece character map")
      }
      self = .precompiled(normalizer)
    case "Sequence":
      try fields.checkDepth(depth)
      var stages: [Normalizer] = []
      for stage in try fields.objects("normalizers") {
        stages.append(try Normalizer(stage, depth: depth + 1))
      }
      self = .sequence(stages)
    default: throw fields.unknown("type", type, known: Self.names)
    }
  }
}

extension PreTokenizer {
  /// The stages of a pre-tokenizer, sequences unfolded.
  static func stages(_ fields: Fields, depth: Int = 0) throws(TokenizerError) -> [PreTokenizer] {
    let type = try fields.string("type")
    switch type {
    case "ByteLevel":
      return [
        .byteLevel(
          addsPrefixSpace: try fields.bool("add_prefix_space", default: true),
          splits: try fields.bool("use_regex", default: true), mapsBytes: true)
      ]
    case "Split":
      return [
        .split(
          try fields.pattern("pattern"), try fields.behavior("behavior"),
          inverted: try fields.bool("invert", default: false))
      ]
    case "CharDelimiterSplit":
      return [.split(.literal(try fields.character("delimiter")), .removed, inverted: false)]
    case "Whitespace": return [.whitespace]
    case "WhitespaceSplit": return [.whitespaceSplit]
    case "BertPreTokenizer": return [.bert]
    case "Digits": return [.digits(individual: try fields.bool("individual_digits", default: false))]
    case "Punctuation": return [.punctuation(try fields.behavior("behavior", default: .isolated))]
    case "Metaspace":
      return [
        .metaspace(
          Metaspace(
            replacement: try fields.character("replacement"), prepending: try fields.prepending(),
            splits: try fields.bool("split", default: true)))
      ]
    case "Sequence":
      try fields.checkDepth(depth)
      var stages: [PreTokenizer] = []
      for stage in try fields.objects("pretokenizers") { stages += try Self.stages(stage, depth: depth + 1) }
      return stages
    default: throw fields.unknown("type", type, known: names)
    }
  }
}

extension DecoderStage {
  /// The stages of a decoder, sequences unfolded.
  static func stages(_ fields: Fields, depth: Int = 0) throws(TokenizerError) -> [DecoderStage] {
    let type = try fields.string("type")
    switch type {
    case "ByteLevel": return [.byteLevel]
    case "ByteFallback": return [.byteFallback]
    case "Fuse": return [.fuse]
    case "Replace": return [.replace(try fields.pattern("pattern"), with: try fields.insertion("content"))]
    case "Strip":
      return [
        .strip(
          StripStage(
            content: try fields.character("content"), start: try fields.int("start", in: 0...1 << 20),
            stop: try fields.int("stop", in: 0...1 << 20)))
      ]
    case "Metaspace":
      return [
        .metaspace(
          replacement: try fields.character("replacement"), dropsFirst: try fields.prepending() != .never)
      ]
    case "WordPiece":
      return [
        .wordPiece(prefix: try fields.bytes("prefix"), cleansUp: try fields.bool("cleanup", default: true))
      ]
    case "BPEDecoder": return [.wordSuffix(try fields.bytes("suffix"))]
    case "Sequence":
      try fields.checkDepth(depth)
      var stages: [DecoderStage] = []
      for stage in try fields.objects("decoders") { stages += try Self.stages(stage, depth: depth + 1) }
      return stages
    default: throw fields.unknown("type", type, known: names)
    }
  }
}

extension Fields {
  fileprivate func checkDepth(_ depth: Int) throws(TokenizerError) {
    if depth == deepestNesting {
      throw .unsupported(field: path, reason: "sequences are nested deeper than \(deepestNesting) levels")
    }
  }

  fileprivate func behavior(
    _ key: String, default fallback: SplitBehavior? = nil
  ) throws(TokenizerError) -> SplitBehavior {
    if let fallback, optional(key) == nil { return fallback }
    let name = try string(key)
    guard let behavior = SplitBehavior(rawValue: name) else {
      throw unknown(key, name, known: SplitBehavior.allCases.map(\.rawValue))
    }
    return behavior
  }

  /// Old files say `add_prefix_space`, newer ones `prepend_scheme`.
  fileprivate func prepending() throws(TokenizerError) -> Metaspace.Prepending {
    let adds = try bool("add_prefix_space", default: true)
    guard let name = try optionalString("prepend_scheme") else { return adds ? .always : .never }
    guard let prepending = Metaspace.Prepending(rawValue: name) else {
      throw unknown("prepend_scheme", name, known: Metaspace.Prepending.allCases.map(\.rawValue))
    }
    if !adds, prepending != .never {
      throw .conflict(field: path("add_prefix_space"), reason: "false contradicts prepend_scheme \"\(name)\"")
    }
    return prepending
  }
}

/// RFC 4648, section 4.
enum Base64 {
  /// The bytes of a text; nil when it is malformed. Line breaks are passed over.
  static func decode(_ text: String) -> [UInt8]? {
    var result: [UInt8] = []
    var bits: UInt32 = 0
    var count = 0
    var padding = 0
    for byte in text.utf8 where byte != 0x0A && byte != 0x0D {
      if byte == UInt8(ascii: "=") {
        padding += 1
        continue
      }
      guard padding == 0, let digit = digit(byte) else { return nil }
      bits = bits << 6 | digit
      count += 1
      if count % 4 == 0 {
        result.append(UInt8(truncatingIfNeeded: bits >> 16))
        result.append(UInt8(truncatingIfNeeded: bits >> 8))
        result.append(UInt8(truncatingIfNeeded: bits))
      }
    }
    switch count % 4 {
    case 2: result.append(UInt8(truncatingIfNeeded: bits >> 4))
    case 3:
      result.append(UInt8(truncatingIfNeeded: bits >> 10))
      result.append(UInt8(truncatingIfNeeded: bits >> 2))
    case 1: return nil
    default: break
    }
    return result
  }

  private static func digit(_ byte: UInt8) -> UInt32? {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(byte - 0x41)
    case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(byte - 0x61 + 26)
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - 0x30 + 52)
    case UInt8(ascii: "+"): 62
    case UInt8(ascii: "/"): 63
    default: nil
    }
  }
}
