import JSON
import TestSupport
import Testing

@Suite struct JSONScannerTests {
  @Test func aCallerTakesWhatItWantsAndSkipsTheRest() throws {
    let text =
      #" {"skip": [1, {"x": "]}"}, "\"]"], "vocab": {"a": 0, "b\n": 1}, "merges": ["a b", ["c", "d"]], "f": 1e2, "n": null, "t": true} "#
    var scanner = try JSONScanner(Array(text.utf8))
    var seen: [String] = []
    try scanner.beginObject()
    while let key = try scanner.nextKey() {
      seen.append(key)
      switch key {
      case "vocab":
        var buffer: [UInt8] = []
        var ids: [Int] = []
        try scanner.beginObject()
        while try scanner.nextKey(into: &buffer) { ids.append(try scanner.int()) }
        #expect(buffer == Array("ab\n".utf8))
        #expect(ids == [0, 1])
      case "merges":
        try scanner.beginArray()
        #expect(try scanner.nextElement())
        #expect(try scanner.peekKind() == .string)
        #expect(try scanner.string() == "a b")
        #expect(try scanner.nextElement())
        #expect(try scanner.peekKind() == .array)
        #expect(try scanner.value() == ["c", "d"])
        #expect(try !scanner.nextElement())
      case "f": #expect(try scanner.int() == 100)
      case "n":
        #expect(try scanner.skipNull())
      case "t":
        #expect(try !scanner.skipNull())
        #expect(try scanner.bool())
      default: try scanner.skipValue()
      }
    }
    try scanner.finish()
    #expect(seen == ["skip", "vocab", "merges", "f", "n", "t"])
    #expect(scanner.depth == 0)
  }

  @Test func anotherKindThanAskedForIsNamed() throws {
    let bytes = Array("[1]".utf8)
    func fails(_ expected: JSONKind, _ body: (inout JSONScanner) throws -> Void) throws {
      var scanner = try JSONScanner(bytes)
      try expectError(.typeMismatch(expected: expected, found: .array), at: 0) {
        try body(&scanner)
      }
    }
    try fails(.string) { _ = try $0.string() }
    try fails(.number) { _ = try $0.int() }
    try fails(.number) { _ = try $0.double() }
    try fails(.bool) { _ = try $0.bool() }
    try fails(.null) { try $0.null() }
    try fails(.object) { try $0.beginObject() }
  }

  @Test(arguments: ["1.5", "9223372036854775808", "1e300"])
  func aNumberThatIsNoIntIsRefused(text: String) throws {
    var scanner = try JSONScanner(Array(text.utf8))
    try expectError(.numberOutOfRange, at: 0) { try scanner.int() }
  }

  @Test func aWholeVocabularyIsReadWithoutATree() throws {
    var scanner = try JSONScanner(try Fixtures.bytes("tokenizers/gpt2/tokenizer.json"))
    var count = 0
    var largest = 0
    try scanner.beginObject()
    while let key = try scanner.nextKey() {
      guard key == "model" else {
        try scanner.skipValue()
        continue
      }
      try scanner.beginObject()
      while let key = try scanner.nextKey() {
        guard key == "vocab" else {
          try scanner.skipValue()
          continue
        }
        try scanner.beginObject()
        while try scanner.nextKey() != nil {
          largest = max(largest, try scanner.int())
          count += 1
        }
      }
    }
    try scanner.finish()
    #expect(count == 50_257)
    #expect(largest == 50_256)
  }
}
