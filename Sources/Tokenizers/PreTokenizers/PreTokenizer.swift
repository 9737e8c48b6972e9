/// A stage that cuts a text into the pieces the model sees one by one.
enum PreTokenizer: Sendable {
  /// `mapsBytes` is false when the model's vocabulary holds bytes, so that nothing need be spelled.
  case byteLevel(addsPrefixSpace: Bool, splits: Bool, mapsBytes: Bool)
  case split(TextPattern, SplitBehavior, inverted: Bool)
  case whitespace
  case whitespaceSplit
  case bert
  case metaspace(Metaspace)
  case digits(individual: Bool)
  case punctuation(SplitBehavior)

  /// The values of `pre_tokenizer.type` that are known.
  static let names = [
    "ByteLevel", "Split", "Whitespace", "WhitespaceSplit", "BertPreTokenizer", "Metaspace", "Digits",
    "Punctuation", "CharDelimiterSplit", "Sequence",
  ]

  func apply(to pieces: inout Pieces, of text: Span<UInt8>) throws(TokenizerError) {
    switch self {
    case .byteLevel(let addsPrefixSpace, let splits, let mapsBytes):
      try applyByteLevel(to: &pieces, of: text, addsPrefixSpace, splits, mapsBytes)
    case .split(let pattern, let behavior, let inverted):
      let matcher = try pattern.matcher()
      try pieces.split(text) { piece, parts throws(TokenizerError) in
        let matches = try pattern.matches(in: piece, with: matcher)
        parts = behavior.parts(count: piece.count, matches: matches, inverted: inverted)
      }
    case .whitespace: try pieces.split(text, Self.cutWords)
    case .whitespaceSplit: try Self.split(&pieces, of: text, .removed, at: ScalarFlags.isWhitespace)
    case .bert:
      try PreTokenizer.whitespaceSplit.apply(to: &pieces, of: text)
      try PreTokenizer.punctuation(.isolated).apply(to: &pieces, of: text)
    case .metaspace(let metaspace): try metaspace.apply(to: &pieces, of: text)
    case .digits(let individual):
      try Self.split(&pieces, of: text, individual ? .isolated : .contiguous) {
        ScalarFlags.of($0).contains(.numeric)
      }
    case .punctuation(let behavior):
      try Self.split(&pieces, of: text, behavior) { ScalarFlags.of($0).contains(.punctuation) }
    }
  }

  /// Each scalar of a class is a match by itself.
  private static func split(
    _ pieces: inout Pieces, of text: Span<UInt8>, _ behavior: SplitBehavior,
    at isMatch: (UInt32) -> Bool
  ) throws(TokenizerError) {
    var matches: [Range<Int>] = []
    try pieces.split(text) { piece, parts throws(TokenizerError) in
      matches.removeAll(keepingCapacity: true)
      var place = 0
      while place < piece.count {
        let (scalar, length) = UTF8Scalar.decode(piece, at: place)
        if scalar < UTF8Scalar.opaque, isMatch(scalar) { matches.append(place..<place + length) }
        place += length
      }
      parts = behavior.parts(count: piece.count, matches: matches)
    }
  }

  private func applyByteLevel(
    to pieces: inout Pieces, of text: Span<UInt8>, _ addsPrefixSpace: Bool, _ splits: Bool, _ mapsBytes: Bool
  ) throws(TokenizerError) {
    var prefixed: [UInt8]?
    if addsPrefixSpace {
      pieces.rewrite(text) { piece, _, result in
        if piece[0] != UInt8(ascii: " ") { result.append(UInt8(ascii: " ")) }
        result.append(piece)
      }
      prefixed = pieces.rewritten
    }
    if splits {
      let scanner = PieceScanner(.gpt2)
      func cut(_ piece: Span<UInt8>, _ parts: inout [Range<Int>]) throws(TokenizerError) {
        parts = try TextPattern.scanner(scanner).matches(in: piece)
      }
      if let prefixed { try pieces.split(prefixed.span, cut) } else { try pieces.split(text, cut) }
    }
    if mapsBytes {
      func write(_ piece: Span<UInt8>, _ beginsText: Bool, _ result: inout [UInt8]) {
        ByteAlphabet.appendText(of: piece, to: &result)
      }
      if let prefixed { pieces.rewrite(prefixed.span, write) } else { pieces.rewrite(text, write) }
    }
  }

  /// `\w+|[^\w\s]+`
  private static func cutWords(_ piece: Span<UInt8>, _ parts: inout [Range<Int>]) {
    enum Kind { case space, word, other }
    var start = 0
    var kind = Kind.space
    var place = 0
    while place < piece.count {
      let (scalar, length) = UTF8Scalar.decode(piece, at: place)
      let next: Kind =
        ScalarFlags.isWhitespace(scalar)
        ? .space : scalar < UTF8Scalar.opaque && ScalarFlags.of(scalar).contains(.word) ? .word : .other
      if next != kind {
        if kind != .space { parts.append(start..<place) }
        start = place
        kind = next
      }
      place += length
    }
    if kind != .space { parts.append(start..<piece.count) }
  }
}

/// SentencePiece's white space: a space becomes "▁", and words begin with it.
struct Metaspace: Sendable {
  enum Prepending: String, CaseIterable, Sendable {
    case always, first, never
  }

  /// UTF-8 of one scalar.
  var replacement: [UInt8]
  var prepending: Prepending
  var splits: Bool

  func apply(to pieces: inout Pieces, of text: Span<UInt8>) throws(TokenizerError) {
    pieces.rewrite(text) { piece, beginsText, result in
      let isWanted = prepending == .always || (prepending == .first && beginsText)
      let isThere = piece[0] == UInt8(ascii: " ") || begins(piece)
      if isWanted, !isThere { result.append(contentsOf: replacement) }
      for index in piece.indices {
        if piece[index] == UInt8(ascii: " ") {
          result.append(contentsOf: replacement)
        } else {
          result.append(piece[index])
        }
      }
    }
    guard splits, let rewritten = pieces.rewritten else { return }
    let pattern = TextPattern.literal(replacement)
    try pieces.split(rewritten.span) { piece, parts throws(TokenizerError) in
      let matches = try pattern.matches(in: piece)
      parts = SplitBehavior.mergedWithNext.parts(count: piece.count, matches: matches)
    }
  }

  private func begins(_ piece: Span<UInt8>) -> Bool {
    piece.count >= replacement.count && equalBytes(piece.extracting(0..<replacement.count), replacement.span)
  }
}
