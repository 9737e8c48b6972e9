import JSON
import TestSupport
import Testing
import Tokenizers

/// Small tokenizers that between them use every stage with all its options, against what the Hugging Face
/// library makes of them (`Scripts/goldens/tokenizers.py`).
@Suite("Stages")
struct StageTests {
  struct Golden: Sendable, CustomTestStringConvertible {
    let name: String
    let value: JSONValue
    var testDescription: String { name }
  }

  static let goldens: [Golden] = {
    let bytes = (try? Fixtures.bytes("tokenizers/stages.json")) ?? []
    let value = try? JSONValue.parse(bytes)
    return (value?["tokenizers"]?.array ?? []).map { Golden(name: $0["name"]?.string ?? "", value: $0) }
  }()

  private static func tokenizer(_ golden: Golden) throws -> Tokenizer {
    let json = try #require(golden.value["tokenizer"]).serialized()
    return try Tokenizer(json: Array(json.utf8), configuration: nil)
  }

  @Test("the goldens are there")
  func goldensAreThere() { #expect(Self.goldens.count > 120) }

  @Test("gives the reference's ids", arguments: goldens)
  func givesReferenceIDs(golden: Golden) throws {
    let tokenizer = try Self.tokenizer(golden)
    for entry in golden.value["encodes"]?.array ?? [] {
      let text = try #require(entry["text"]?.string)
      let ids = try #require(entry["ids"]).tokenIDs
      let special = entry["special"]?.tokenIDs ?? ids
      let plain = entry["plain"]?.tokenIDs ?? ids
      #expect(try tokenizer.encode(text, addSpecialTokens: false) == ids, "\(text.debugDescription)")
      #expect(try tokenizer.encode(text) == special, "\(text.debugDescription)")
      #expect(
        try tokenizer.encode(text, addSpecialTokens: false, parseSpecialTokens: false) == plain,
        "\(text.debugDescription)")
      #expect(
        try tokenizer.encode(Array(text.utf8), addSpecialTokens: false) == ids, "\(text.debugDescription)")
    }
  }

  @Test("gives the reference's text, at once and token by token", arguments: goldens)
  func givesReferenceText(golden: Golden) throws {
    let tokenizer = try Self.tokenizer(golden)
    for entry in golden.value["decodes"]?.array ?? [] {
      let ids = try #require(entry["ids"]).tokenIDs
      let text = try #require(entry["text"]?.string)
      let skipped = entry["skipped"]?.string ?? text
      #expect(tokenizer.decode(ids).utf8.elementsEqual(text.utf8), "\(ids)")
      #expect(tokenizer.decode(ids, skipSpecialTokens: true).utf8.elementsEqual(skipped.utf8), "\(ids)")
      #expect(tokenizer.streamed(ids).utf8.elementsEqual(text.utf8), "\(ids)")
      #expect(tokenizer.streamed(ids, skipSpecialTokens: true).utf8.elementsEqual(skipped.utf8), "\(ids)")
    }
  }

  @Test("gives the reference's ids and segments of pairs", arguments: goldens)
  func givesReferencePairs(golden: Golden) throws {
    let tokenizer = try Self.tokenizer(golden)
    for entry in golden.value["pairs"]?.array ?? [] {
      let first = try #require(entry["first"]?.string)
      let second = try #require(entry["second"]?.string)
      let pair = try tokenizer.encodePair(first, second)
      #expect(pair.ids == entry["ids"]?.tokenIDs)
      #expect(pair.typeIDs == entry["types"]?.tokenIDs)
      let bare = try tokenizer.encodePair(first, second, addSpecialTokens: false)
      #expect(bare.ids == entry["bare"]?.tokenIDs)
    }
  }
}

extension Tokenizer {
  /// The text as a stream gives it, in one piece.
  func streamed(_ ids: [Int32], skipSpecialTokens: Bool = false) -> String {
    var stream = DetokenizerStream(self, skipSpecialTokens: skipSpecialTokens)
    var text = ""
    for id in ids { text += stream.append(id) }
    return text + stream.finish()
  }
}
