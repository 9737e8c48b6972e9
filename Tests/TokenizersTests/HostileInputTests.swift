import Synchronization
import TestSupport
import Testing

@testable import Tokenizers

/// Texts and expressions made to hang or to swell a tokenizer.
@Suite("Hostile input")
struct HostileInputTests {
  private static func matches(_ expression: String, _ text: String) throws -> [String] {
    let bytes = Array(text.utf8)
    return try Pattern(expression).matcher().matches(in: bytes.span).map {
      String(decoding: bytes[$0], as: UTF8.self)
    }
  }

  @Test(
    "an expression that backtracks without bound is an error",
    arguments: [
      #"(a+)+$"#, #"(a|aa)+$"#, #"(?:a?){40}a{40}$"#, #"^(([a-z])+.)+[A-Z]([a-z])+$"#,
      #"(.*)(.*)(.*)(.*)(.*)\d"#,
    ])
  func catastrophicExpression(expression: String) throws {
    let text = String(repeating: "a", count: 5000) + "!"
    let error = #expect(throws: TokenizerError.self) { try Self.matches(expression, text) }
    guard case .patternTooCostly(expression, _)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test(
    "an expression that can't be used is refused",
    arguments: [
      ("a{9,1}", "quantifier"), ("[z-a]", "range"), (#"\"#, "a backslash at the end"),
      ("(?R)", "this kind of group"),
      ("(*LIMIT_MATCH=9)a", "a group can't begin with *"), (#"\Ka"#, "not supported"),
      ("[a", "a set has no end"),
      ("a{2}+", "a repetition of a repetition"), ("a(?i)b|c", "need a group"),
      (#"\p{Nonsense}"#, "unknown property"),
      ("((((a{200}){200}){200}){200})", "too large"), (#"\u12"#, "four hexadecimal digits"),
      (String(repeating: "[a", count: 40), "nested too deep"), (String(repeating: "(", count: 60_000), "too"),
      (String(repeating: "a", count: 70_000), "longer than"),
    ])
  func unusableExpression(expression: String, reason: String) {
    let error = #expect(throws: TokenizerError.self) { try Pattern(expression) }
    #expect(error?.description.contains(reason) == true, "\(String(describing: error))")
  }

  @Test("bytes that are no UTF-8 match nothing, and what surrounds them does")
  func invalidTextMatchesNothing() throws {
    let bytes: [UInt8] = Array("ab".utf8) + [0xFF, 0xE4, 0xBD] + Array("c".utf8) + [0xC3]
    #expect(try Pattern(".").matcher().matches(in: bytes.span) == [0..<1, 1..<2, 5..<6])
  }

  @Test(
    "a long run of anything is encoded, in time that grows no faster than n log n",
    arguments: ["demo", "tiny/llama", "tiny/bloom", "tiny/qwen2", "tiny/bert-sst2"],
    ["a", " ", "\n", "\u{301}", "ab1!x", "😀", "\u{A0}'"])
  func longRuns(folder: String, unit: String) throws {
    let tokenizer = try Tokenizer.load(directory: Fixtures.path(folder))
    // A quadratic step anywhere would take minutes on this.
    let text = "x" + String(repeating: unit, count: 30_000 / unit.utf8.count) + "y"
    let ids = try tokenizer.encode(text, addSpecialTokens: false)
    #expect(!ids.isEmpty)
    if !folder.contains("bert") { #expect(tokenizer.decode(ids).utf8.count >= text.utf8.count) }
  }

  @Test("white-space tokens that strip white space are found in linear time", arguments: [true, false])
  func strippingWhiteSpace(left: Bool) throws {
    let json = """
      {"model":{"type":"WordLevel","vocab":{"<unk>":0},"unk_token":"<unk>"},"added_tokens":[{"id":1,"content":"\\n",\
      "lstrip":\(left),"rstrip":\(!left),"normalized":false}]}
      """
    let tokenizer = try Tokenizer(json: Array(json.utf8), configuration: nil)
    // Quadratic, this would be 10^10 steps.
    #expect(try tokenizer.encode(String(repeating: "\n", count: 100_000)).count == 100_000)
  }

  @Test("a chain of replacements can't fill the memory")
  func replacementsAreBounded() throws {
    let stage =
      #"{"type":"Replace","pattern":{"String":"a"},"content":"\#(String(repeating: "a", count: 256))"}"#
    let stages = repeatElement(stage, count: 8).joined(separator: ",")
    let json = """
      {"model":{"type":"WordLevel","vocab":{"<unk>":0},"unk_token":"<unk>"},\
      "normalizer":{"type":"Sequence","normalizers":[\(stages)]}}
      """
    let tokenizer = try Tokenizer(json: Array(json.utf8), configuration: nil)
    let error = #expect(throws: TokenizerError.self) { try tokenizer.encode("aaaaaaaaaaaaaaaa") }
    guard case .textTooLong? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test("no call keeps the memory that a huge text took")
  func memoryIsGivenBack() throws {
    let tokenizer = try Tokenizer.load(directory: Fixtures.path("demo"))
    _ = try tokenizer.encode(String(repeating: "ab", count: 50_000))
    let kept = tokenizer.idleScratch.take()
    #expect(kept.symbols.capacity + kept.merges.capacity == 0)
  }
}
