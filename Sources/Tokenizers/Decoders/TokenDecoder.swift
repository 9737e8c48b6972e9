/// One stage of the way from tokens back to text, as `tokenizer.json` lists them.
enum DecoderStage: Sendable {
  // These look at one token at a time, some at its place among the tokens.
  case replace(TextPattern, with: [UInt8])
  case strip(StripStage)
  case metaspace(replacement: [UInt8], dropsFirst: Bool)
  case wordPiece(prefix: [UInt8], cleansUp: Bool)
  case wordSuffix([UInt8])
  /// Without a decoder: tokens with spaces between.
  case spaced
  /// Runs of tokens like "<0xE4>" become the characters that the bytes spell.
  case byteFallback
  // These make one text of all tokens.
  case fuse
  case byteLevel

  /// The values of `decoder.type` that are known.
  static let names = [
    "ByteLevel", "ByteFallback", "Fuse", "Strip", "Replace", "Metaspace", "WordPiece", "BPEDecoder",
    "Sequence",
  ]

  var joinsTokens: Bool {
    switch self {
    case .fuse, .byteLevel: true
    default: false
    }
  }

  /// One token's text after this stage; the stages that need more than one token leave it alone.
  func apply(to token: [UInt8], isFirst: Bool, isLast: Bool) -> [UInt8] {
    switch self {
    case .replace(let pattern, let content):
      // What can't be searched within bounds stays as it is: decoding must not fail.
      let limit = TextPattern.longestResult(from: token.count)
      return ((try? pattern.replaceAll(in: token.span, with: content, limit: limit)) ?? nil) ?? token
    case .strip(let stage): return stage.apply(to: token)
    case .metaspace(let replacement, let dropsFirst):
      let space: [UInt8] = isFirst && dropsFirst ? [] : [UInt8(ascii: " ")]
      return Self.replace(replacement, in: token, with: space)
    case .wordPiece(let prefix, let cleansUp):
      var text = token
      if !isFirst {
        text = token.starts(with: prefix) ? Array(token.dropFirst(prefix.count)) : [UInt8(ascii: " ")] + token
      }
      return cleansUp ? Self.cleanedUp(text) : text
    case .wordSuffix(let suffix):
      return Self.replace(suffix, in: token, with: isLast ? [] : [UInt8(ascii: " ")])
    case .spaced: return isFirst ? token : [UInt8(ascii: " ")] + token
    case .byteFallback, .fuse: return token
    case .byteLevel:
      var bytes: [UInt8] = []
      return ByteAlphabet.appendBytes(of: token.span, to: &bytes) ? bytes : token
    }
  }

  private static func replace(_ literal: [UInt8], in token: [UInt8], with content: [UInt8]) -> [UInt8] {
    let limit = TextPattern.longestResult(from: token.count)
    let pattern = TextPattern.literal(literal)
    return ((try? pattern.replaceAll(in: token.span, with: content, limit: limit)) ?? nil) ?? token
  }

  /// English punctuation without the space that WordPiece sets before it.
  private static func cleanedUp(_ text: [UInt8]) -> [UInt8] {
    if !text.contains(UInt8(ascii: " ")) { return text }
    return cleanups.reduce(text) { replace($1.0, in: $0, with: $1.1) }
  }

  private static let cleanups: [([UInt8], [UInt8])] = [
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
    (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
  ].map { (Array($0.0.utf8), Array($0.1.utf8)) }
}

/// Takes up to `start` copies of a character from the beginning of a text, and up to `stop` from its end.
struct StripStage: Sendable {
  /// UTF-8 of one scalar.
  var content: [UInt8]
  var start: Int
  var stop: Int

  func apply(to text: [UInt8]) -> [UInt8] {
    var rest = text[...]
    for _ in 0..<start {
      guard rest.starts(with: content) else { break }
      rest = rest.dropFirst(content.count)
    }
    for _ in 0..<stop {
      guard rest.count >= content.count, rest.suffix(content.count).elementsEqual(content) else { break }
      rest = rest.dropLast(content.count)
    }
    return Array(rest)
  }
}

/// The decoder's stages, sorted by what they need to know.
struct TokenDecoder: Sendable {
  /// Before byte fallback; all stages up to the joining one when there is no fallback.
  let early: [DecoderStage]
  let hasByteFallback: Bool
  /// Between byte fallback and the joining stage.
  let late: [DecoderStage]
  /// The tokens are bytes that become text only when put together.
  let joinsBytes: Bool
  /// A `Strip` on the whole text.
  let strip: StripStage?
  /// Stages on the whole text that can't be done as it comes: it is held back to the end.
  let final: [DecoderStage]
  /// Whether a token's text depends on whether it is the last one.
  let needsNext: Bool
  /// Whether a token's text depends on whether it is the first one.
  let dependsOnPlace: Bool

  init(_ stages: [DecoderStage]) {
    let join = stages.firstIndex(where: \.joinsTokens) ?? stages.count
    let fallback = stages[..<join].firstIndex {
      if case .byteFallback = $0 { true } else { false }
    }
    var early = Array(stages[..<(fallback ?? join)])
    hasByteFallback = fallback != nil
    var late = fallback.map { Array(stages[($0 + 1)..<join]) } ?? []
    var joinsBytes = false
    if join < stages.count, case .byteLevel = stages[join] {
      joinsBytes = true
      if fallback == nil { early.append(.byteLevel) } else { late.append(.byteLevel) }
    }
    self.joinsBytes = joinsBytes
    self.early = early
    self.late = late
    let rest = stages.dropFirst(join + 1).filter {
      if case .fuse = $0 { false } else { true }
    }
    if rest.count == 1, case .strip(let stage) = rest[0] {
      strip = stage
      final = []
    } else {
      strip = nil
      final = Array(rest)
    }
    needsNext = stages[..<join].contains {
      if case .wordSuffix = $0 { true } else { false }
    }
    dependsOnPlace = early.contains {
      switch $0 {
      case .metaspace, .wordPiece, .wordSuffix, .spaced: true
      default: false
      }
    }
  }

  /// "<0xE4>" to 0xE4.
  static func fallbackByte(of token: [UInt8]) -> UInt8? {
    guard token.count == 6, token.starts(with: Array("<0x".utf8)), token[5] == UInt8(ascii: ">") else {
      return nil
    }
    return UInt8(String(decoding: token[3..<5], as: UTF8.self), radix: 16)
  }
}
