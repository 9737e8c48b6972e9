import JSON
import TestSupport
import Testing

@Suite struct JSONRejectionTests {
  typealias Kind = JSONError.Kind

  @Test(
    arguments: [
      ("", .unexpectedEnd, 0), ("  ", .unexpectedEnd, 2), ("[", .unexpectedEnd, 1),
      ("{\"a\":", .unexpectedEnd, 5),
      ("\"abc", .unexpectedEnd, 4), ("\"\\", .unexpectedEnd, 2), ("\"\\u12", .unexpectedEnd, 5),
      ("tru", .unexpectedEnd, 3), ("-", .unexpectedEnd, 1), ("1.", .unexpectedEnd, 2),
      ("1e", .unexpectedEnd, 2),
      ("1e+", .unexpectedEnd, 3),
      ("1 2", .trailingCharacters, 2), ("[]]", .trailingCharacters, 2), ("{}x", .trailingCharacters, 2),
      ("01", .invalidNumber, 1), ("-01", .invalidNumber, 2), ("-a", .invalidNumber, 1),
      ("1.a", .invalidNumber, 2),
      ("1ea", .invalidNumber, 2), ("--1", .invalidNumber, 1), ("-Infinity", .invalidNumber, 1),
      ("0x1", .trailingCharacters, 1), ("1.5.5", .trailingCharacters, 3), ("1_0", .trailingCharacters, 1),
      ("\"\\x41\"", .invalidEscape, 1), ("\"\\u00g0\"", .invalidEscape, 5),
      ("\"\\U0041\"", .invalidEscape, 1),
      ("\"\\ud800\"", .loneSurrogate(0xD800), 1), ("\"\\udc00\"", .loneSurrogate(0xDC00), 1),
      ("\"x\\ud800\\ud800\"", .loneSurrogate(0xD800), 2), ("\"\\ud800x\"", .loneSurrogate(0xD800), 1),
      ("\"\\ud800\\n\"", .loneSurrogate(0xD800), 1), ("\"\\ud800\\u0041\"", .loneSurrogate(0xD800), 1),
      ("\"a\nb\"", .controlCharacter(0x0A), 2), ("\"\t\"", .controlCharacter(0x09), 1),
      ("\"\0\"", .controlCharacter(0), 1),
    ] as [(String, Kind, Int)])
  func aBrokenDocumentIsRefusedWhereItBreaks(text: String, kind: Kind, offset: Int) {
    let error = #expect(throws: JSONError.self) { try JSONValue.parse(text) }
    #expect(error?.kind == kind)
    #expect(error?.byteOffset == offset)
  }

  @Test(
    arguments: [
      ("[1,]", "]", 3, "a value"), ("[,1]", ",", 1, "a value"), ("[1 2]", "2", 3, "',' or ']'"),
      ("[1}", "}", 2, "',' or ']'"), ("{\"a\" 1}", "1", 5, "':'"), ("{\"a\":1,}", "}", 7, "a key"),
      ("{a:1}", "a", 1, "a key"), ("{1:1}", "1", 1, "a key"), ("{\"a\":}", "}", 5, "a value"),
      ("{\"a\":1]", "]", 6, "',' or '}'"), ("]", "]", 0, "a value"), ("+1", "+", 0, "a value"),
      (".5", ".", 0, "a value"),
      ("'a'", "'", 0, "a value"), ("NaN", "N", 0, "a value"), ("nulL", "L", 3, "'null'"),
      ("True", "T", 0, "a value"),
      ("[1/**/]", "/", 2, "',' or ']'"), ("//x\n1", "/", 0, "a value"), ("\u{FEFF}1", "\u{EF}", 0, "a value"),
      ("\u{A0}1", "\u{C2}", 0, "a value"), ("\u{C}1", "\u{C}", 0, "a value"),
    ] as [(String, Unicode.Scalar, Int, String)])
  func anUnexpectedByteIsNamed(text: String, byte: Unicode.Scalar, offset: Int, expected: String) {
    let error = #expect(throws: JSONError.self) { try JSONValue.parse(text) }
    #expect(error?.kind == .unexpectedCharacter(UInt8(byte.value), expected: expected))
    #expect(error?.byteOffset == offset)
  }

  @Test(
    arguments: [
      [0x80], [0xC3], [0xC0, 0x80], [0xE2, 0x82], [0xED, 0xA0, 0x80], [0xF0, 0x80, 0x80, 0x80],
      [0xF4, 0x90, 0x80, 0x80], [0xF8, 0x88, 0x80, 0x80, 0x80], [0xFF], [0xC3, 0x28],
    ] as [[UInt8]])
  func invalidUTF8IsRefused(sequence: [UInt8]) throws {
    let quote = [UInt8(ascii: "\"")]
    let plain = quote + Array("ab".utf8) + sequence + quote
    let escaped = quote + Array("\\n".utf8) + sequence + quote
    for text in [plain, escaped] {
      let expected = JSONError(.invalidUTF8, at: 3, in: text)
      #expect(throws: expected) { try JSONValue.parse(text) }
      #expect(throws: expected) {
        var scanner = try JSONScanner(text)
        try scanner.skipValue()
      }
    }
    #expect(throws: JSONError.self) { try JSONValue.parse(sequence) }
  }

  /// Reading, and skipping, agree on what is valid.
  @Test func everyPrefixOfADocumentIsRefused() throws {
    let text = #"{"a\u00e9\ud83d\ude00":[1,-2.5e-3,true,false,null,"x\n\"é😀"],"b":{"c":[[],{}]},"d":""}"#
    let bytes = Array(text.utf8)
    _ = try JSONValue.parse(bytes)
    for count in bytes.indices {
      let prefix = Array(bytes.prefix(count))
      let parsed = #expect(throws: JSONError.self) { try JSONValue.parse(prefix) }
      let skipped = #expect(throws: JSONError.self) {
        var scanner = try JSONScanner(prefix)
        try scanner.skipValue()
      }
      #expect(parsed == skipped)
      #expect((parsed?.byteOffset ?? -1) <= count)
    }
  }

  @Test func aChangedByteIsReadAndSkippedAlike() throws {
    let text = #"{"a\u00e9":[1,-2.5e-3,true,false,null,"x\n\"é😀"],"b":{"c":[[],{}]},"d":""}"#
    let original = Array(text.utf8)
    var generator = SeededGenerator(seed: 7)
    var refused = 0
    for _ in 0..<5_000 {
      var bytes = original
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        let place = Int.random(in: 0..<bytes.count, using: &generator)
        bytes[place] =
          Bool.random(using: &generator)
          ? original[Int.random(in: 0..<original.count, using: &generator)]
          : UInt8.random(in: 0...255, using: &generator)
      }
      let parsed = Result { try JSONValue.parse(bytes) }
      let skipped = Result {
        var scanner = try JSONScanner(bytes)
        try scanner.skipValue()
        try scanner.finish()
      }
      switch (parsed, skipped) {
      case (.success(let value), .success): #expect(try JSONValue.parse(value.serialized()) == value)
      case (.failure(let a as JSONError), .failure(let b as JSONError)):
        #expect(a == b)
        refused += 1
      default: Issue.record("\(String(decoding: bytes, as: UTF8.self)): \(parsed) but \(skipped)")
      }
    }
    #expect(refused > 1_000)
  }

  @Test func deepNestingEndsInAnErrorHoweverItIsWritten() {
    for unit in ["[", "{\"a\":", "[{\"a\":["] {
      let bytes = Array(String(repeating: unit, count: 1_000_000).utf8)
      let error = #expect(throws: JSONError.self) { try JSONValue.parse(bytes) }
      #expect(error?.kind == .depthLimit(512))
    }
  }
}
