import JSON
import Testing

@Suite struct JSONParsingTests {
  @Test(
    arguments: [
      ("null", nil),
      (" true ", true),
      ("false", false),
      ("0", 0),
      ("-0", 0),
      ("-1", -1),
      ("9223372036854775807", .integer(.max)),
      ("-9223372036854775808", .integer(.min)),
      ("\"\"", ""),
      ("[]", []),
      ("{}", [:]),
      (" [ 1 , [ ] , { } , \"x\" ]\r\n\t", [1, [], [:], "x"]),
      (#"{"a":{"b":[{"c":null}]},"":1}"#, ["a": ["b": [["c": nil]]], "": 1]),
      ("[[[[[]]]]]", [[[[[]]]]]),
    ] as [(String, JSONValue)])
  func aValidDocumentBecomesItsTree(text: String, expected: JSONValue) throws {
    #expect(try JSONValue.parse(text) == expected)
  }

  /// Right column: the bits Python's `float` has.
  @Test(
    arguments: [
      ("0.0", 0x0000000000000000), ("-0.0", 0x8000000000000000), ("-0e5", 0x8000000000000000),
      ("1.5", 0x3ff8000000000000), ("1e3", 0x408f400000000000), ("1E+3", 0x408f400000000000),
      ("1e-3", 0x3f50624dd2f1a9fc), ("0.1", 0x3fb999999999999a), ("9007199254740993.0", 0x4340000000000000),
      ("9223372036854775808", 0x43e0000000000000), ("-9223372036854775809", 0xc3e0000000000000),
      ("18446744073709551616", 0x43f0000000000000), ("1.7976931348623157e308", 0x7fefffffffffffff),
      ("5e-324", 0x0000000000000001), ("2.5e-324", 0x0000000000000001), ("2.4e-324", 0x0000000000000000),
      ("1e-400", 0x0000000000000000), ("1e-99999999999999999999999", 0x0000000000000000),
      ("2.2250738585072011e-308", 0x000fffffffffffff),
      ("123456789012345678901234567890e-20", 0x41d26580b487e6b7), ("1e22", 0x4480f0cf064dd592),
      ("1e23", 0x44b52d02c7e14af6), ("1e-22", 0x3b5e392010175ee6), ("1e-23", 0x3b282db34012b251),
      ("8.442911973260991817129021e-309", 0x0006123400000001), ("6929495644600919.5", 0x43389e56ee5e7a58),
      ("6929495644600920.5", 0x43389e56ee5e7a58), ("9007199254740991e22", 0x47d0f0cf064dd591),
      ("0.000000000000000000000000000000000000000000001", 0x3696d601ad376ab9),
      ("3.14159265358979323846264338327950288", 0x400921fb54442d18),
      ("1.7976931348623158e308", 0x7fefffffffffffff),
    ] as [(String, UInt64)])
  func aNumberBecomesTheNearestDouble(text: String, bits: UInt64) throws {
    let value = try JSONValue.parse(text)
    guard case .double(let double) = value else {
      Issue.record("\(value) is no double")
      return
    }
    #expect(double.bitPattern == bits)
  }

  @Test(arguments: ["1e309", "-1e400", "1e99999999999999999999", "179769313486231580793e289"])
  func aNumberBeyondAllDoublesIsRefused(text: String) throws {
    try expectError(.numberOutOfRange, at: 1) {
      try JSONValue.parse("[\(text)]")
    }
  }

  @Test(arguments: [
    (#""a\"\\\/\b\f\n\r\t""#, "a\"\\/\u{8}\u{C}\n\r\t"),
    (#""\u0041\u00e9\u20AC\uFFFF""#, "A\u{E9}\u{20AC}\u{FFFF}"),
    (#""\uD83D\uDE00""#, "\u{1F600}"),
    (#""\ud800\udc00\uDBFF\uDFFF""#, "\u{10000}\u{10FFFF}"),
    (#""\u0000""#, "\u{0}"),
    ("\"\u{7F}é日本😀\u{2028}\"", "\u{7F}é日本😀\u{2028}"),
    (#""é\nü""#, "é\nü"),
  ])
  func stringsAreUnescaped(text: String, expected: String) throws {
    let value = try #require(try JSONValue.parse(text).string)
    #expect(Array(value.utf8) == Array(expected.utf8))
  }

  @Test func keysAreComparedByTheirBytes() throws {
    let value = try JSONValue.parse("{\"e\u{301}\":1,\"\u{E9}\":2}")
    #expect(value["e\u{301}"] == 1)
    #expect(value["\u{E9}"] == 2)
    #expect(value.object?.count == 2)
    #expect(JSONValue.string("e\u{301}") != .string("\u{E9}"))
  }

  @Test func theLastOfEqualKeysCountsAtTheFirstsPlace() throws {
    let value = try JSONValue.parse(#"{"a":1,"b":2,"a":3}"#)
    #expect(value.serialized() == #"{"a":3,"b":2}"#)
  }

  @Test func equalKeysCanBeRefused() throws {
    let text = #"{"a":1,"b":{"c":1,"c":2}}"#
    try expectError(.duplicateKey("c"), at: 23) {
      try JSONValue.parse(text, limits: JSONLimits(duplicateKeys: .refuse))
    }
  }

  @Test func nestingIsLimited() throws {
    func nested(_ depth: Int) -> [UInt8] {
      Array(repeating: UInt8(ascii: "["), count: depth) + Array(repeating: UInt8(ascii: "]"), count: depth)
    }
    #expect(throws: Never.self) { try JSONValue.parse(nested(512)) }
    try expectError(.depthLimit(512), at: 512) { try JSONValue.parse(nested(513)) }
    try expectError(.depthLimit(512), at: 512) { try JSONValue.parse(nested(1_000_000)) }
    try expectError(.depthLimit(2), at: 2) {
      try JSONValue.parse(nested(3), limits: JSONLimits(maxDepth: 2))
    }
    // Whatever is asked for, the tree must be freed without exhausting the stack.
    #expect(JSONLimits(maxDepth: .max).maxDepth == JSONLimits.deepest)
    #expect(throws: Never.self) {
      try JSONValue.parse(nested(JSONLimits.deepest), limits: JSONLimits(maxDepth: .max))
    }
  }

  @Test func lengthIsLimited() throws {
    let limits = JSONLimits(maxBytes: 4)
    #expect(try JSONValue.parse("1234", limits: limits) == 1234)
    let error = #expect(throws: JSONError.self) { try JSONValue.parse("12345", limits: limits) }
    #expect(error?.kind == .sizeLimit(4))
  }

  @Test func spansAndRawBuffersAreReadAsArraysAre() throws {
    let bytes = Array(#"{"a":[1,"é"]}"#.utf8)
    #expect(try JSONValue.parse(bytes.span) == ["a": [1, "é"]])
    let parsed = try unsafe bytes.withUnsafeBytes { try unsafe JSONValue.parse($0) }
    #expect(parsed == ["a": [1, "é"]])
  }

  @Test func anErrorNamesItsLineAndColumn() {
    let error = #expect(throws: JSONError.self) { try JSONValue.parse("{\n  \"a\": 1,\n  \"b\" 2}") }
    #expect(error?.byteOffset == 18)
    #expect(error?.line == 3)
    #expect(error?.column == 7)
    #expect(
      error?.description == "invalid JSON at byte 18 (line 3, column 7): found '2', expected ':'")
  }
}
