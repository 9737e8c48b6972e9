/// Finds added tokens in a text: the leftmost, of those the longest, then on behind it.
struct AddedTokenFinder: Sendable {
  private var trie = ByteTrie()
  /// By byte, whether a token begins with it.
  private var begins = [Bool](repeating: false, count: 256)
  private(set) var isEmpty = true

  /// - Parameter place: of the token in the list given to `segments`.
  mutating func insert(_ content: [UInt8], place: Int) {
    trie.insert(content.span, value: Int32(place))
    begins[Int(content[0])] = true
    isEmpty = false
  }

  /// - Parameter parsesSpecial: false: special tokens written in the text are plain text.
  func segments(of text: Span<UInt8>, _ tokens: [AddedToken], parsesSpecial: Bool) -> [TextSegment] {
    var segments: [TextSegment] = []
    /// Where the text begins that is not yet in a segment.
    var rest = 0
    /// How far white space behind a token has been taken. A match inside it need not look again: a token that is
    /// white space itself would make that quadratic.
    var stripped = 0
    var place = 0
    while let match = nextMatch(in: text, from: place) {
      place = match.end
      let token = tokens[match.token]
      if token.isSpecial, !parsesSpecial { continue }
      if token.isSingleWord, Self.touchesWord(text, match.start..<match.end) { continue }
      var start = match.start
      var end = match.end
      if token.stripsLeft {
        let before = text.extracting(min(rest, start)..<start)
        start = max(min(rest, start) + before.trimmedWhitespace(left: false, right: true).upperBound, rest)
      }
      if token.stripsRight {
        if end >= stripped {
          let behind = text.extracting(end..<text.count)
          stripped = end + behind.trimmedWhitespace(left: true, right: false).lowerBound
        }
        end = stripped
      }
      if rest < start { segments.append(TextSegment(range: rest..<start, id: nil)) }
      // One whose text the last token took with it is gone.
      if start < end { segments.append(TextSegment(range: start..<end, id: token.id)) }
      rest = end
    }
    if rest < text.count { segments.append(TextSegment(range: rest..<text.count, id: nil)) }
    return segments
  }

  private func nextMatch(in text: Span<UInt8>, from place: Int) -> (start: Int, end: Int, token: Int)? {
    if isEmpty { return nil }
    let begins = begins.span
    var start = place
    while start < text.count {
      if unsafe begins[unchecked: Int(text[unchecked: start])],
        let match = trie.longestMatch(in: text, at: start)
      {
        return (start, match.end, Int(match.value))
      }
      start += 1
    }
    return nil
  }

  private static func touchesWord(_ text: Span<UInt8>, _ range: Range<Int>) -> Bool {
    if range.lowerBound > 0, isWord(UTF8Scalar.decodeLast(text, before: range.lowerBound).value) {
      return true
    }
    return range.upperBound < text.count && isWord(UTF8Scalar.decode(text, at: range.upperBound).value)
  }

  private static func isWord(_ scalar: UInt32) -> Bool {
    scalar < UTF8Scalar.opaque && ScalarFlags.of(scalar).contains(.word)
  }
}
