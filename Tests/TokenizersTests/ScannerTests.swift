import TestSupport
import Testing

@testable import Tokenizers

@Suite("Hand-written scanners")
struct ScannerTests {
  private static let words =
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

  static let expressions = [
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#, words,
    words.replacing("{1,3}", with: ""),
  ]

  private static func check(_ expression: String, _ text: String) throws {
    let scanner = try #require(PieceScanner(expression: expression))
    let pattern = try Pattern(expression)
    let bytes = Array(text.utf8)
    let expected = try pattern.matcher().matches(in: bytes.span)
    #expect(try TextPattern.scanner(scanner).matches(in: bytes.span) == expected, "\(text.debugDescription)")
    #expect(expected.reduce(0) { $0 + $1.count } == bytes.count)
  }

  @Test("cut random text as PCRE2 does", arguments: expressions)
  func cutAsPCRE2(expression: String) throws {
    var generator = SeededGenerator(seed: 7)
    for length in 0..<300 { try Self.check(expression, RandomText.text(scalars: length / 3, &generator)) }
  }

  @Test("cut every short string over the critical characters as PCRE2 does", arguments: expressions)
  func cutShortStrings(expression: String) throws {
    let alphabet = ["'", "s", "L", " ", "\n", "1", "!", "\u{A0}", "é", "ſ"]
    var texts = [""]
    for _ in 0..<4 {
      texts = texts.flatMap { text in alphabet.map { text + $0 } }
      // One matcher for each length would be too slow as tests of all 10,000 go; separators make one text.
      try Self.check(expression, texts.joined(separator: "\u{3B1}\t"))
    }
  }

  @Test("know each other's expressions only")
  func knowsItsExpressions() {
    #expect(PieceScanner(expression: #"\s+"#) == nil)
    #expect(PieceScanner(expression: Self.words)?.style == .words(digits: 3))
  }
}
