/// What a stage looks for in a text.
enum TextPattern: Sendable {
  case literal([UInt8])
  case scanner(PieceScanner)
  case expression(Pattern)

  /// An expression, by its own scanner where there is one.
  static func expression(_ source: String) throws(TokenizerError) -> TextPattern {
    if let scanner = PieceScanner(expression: source) { return .scanner(scanner) }
    return .expression(try Pattern(source))
  }

  /// What an expression needs to search many texts with; nil for what is no expression.
  func matcher() throws(TokenizerError) -> Matcher? {
    if case .expression(let pattern) = self { try pattern.matcher() } else { nil }
  }

  /// All matches, from left to right; they don't overlap.
  func matches(
    in text: Span<UInt8>, with matcher: Matcher? = nil
  ) throws(TokenizerError) -> [Range<Int>] {
    switch self {
    case .literal(let literal): return Self.occurrences(of: literal, in: text)
    case .scanner(let scanner):
      var matches: [Range<Int>] = []
      var place = 0
      while place < text.count {
        let end = scanner.end(in: text, from: place)
        matches.append(place..<end)
        place = end
      }
      return matches
    case .expression(let pattern):
      if let matcher { return try matcher.matches(in: text) }
      return try pattern.matcher().matches(in: text)
    }
  }

  /// The text with all matches replaced, or nil when there are none.
  /// - Parameter limit: bytes of the result; a chain of replacements in a hostile file could swell a text without
  ///   bound.
  func replaceAll(
    in text: Span<UInt8>, with content: [UInt8], limit: Int
  ) throws(TokenizerError) -> [UInt8]? {
    let matches = try matches(in: text)
    if matches.isEmpty { return nil }
    let size = text.count + matches.count * content.count
    if size > limit { throw .textTooLong(bytes: size, limit: limit) }
    var result: [UInt8] = []
    result.reserveCapacity(size)
    var copied = 0
    for match in matches {
      result.append(text.extracting(copied..<match.lowerBound))
      result.append(contentsOf: content)
      copied = match.upperBound
    }
    result.append(text.extracting(copied..<text.count))
    return result
  }

  /// What a text may swell to by replacements.
  static func longestResult(from count: Int) -> Int { (1 << 24) + 8 * count }

  private static func occurrences(of literal: [UInt8], in text: Span<UInt8>) -> [Range<Int>] {
    guard let first = literal.first else { return [] }
    let wanted = literal.span
    var matches: [Range<Int>] = []
    var place = 0
    while place + literal.count <= text.count {
      if text[place] == first, equalBytes(text.extracting(place..<place + literal.count), wanted) {
        matches.append(place..<place + literal.count)
        place += literal.count
      } else {
        place += 1
      }
    }
    return matches
  }
}
