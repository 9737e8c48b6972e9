import TestSupport
import Testing

@testable import Tokenizers

/// What must hold for every tokenizer and every text, on seeded random cases.
@Suite("Properties")
struct PropertyTests {
  static let folders = [
    "demo", "tiny/llama", "tiny/gpt2", "tiny/bloom", "tiny/qwen2", "tiny/bert-sst2", "tokenizers/gpt2",
    "tokenizers/bert",
  ]

  @Test(
    "byte-level tokens put together are the bytes encoded",
    arguments: ["demo", "tiny/gpt2", "tiny/bloom", "tokenizers/gpt2"])
  func bytesRoundTrip(folder: String) throws {
    let tokenizer = try Tokenizer.load(directory: Fixtures.path(folder))
    var generator = SeededGenerator(seed: 1)
    for length in [0, 1, 2, 3, 17, 64, 65, 200, 1000] {
      for _ in 0..<10 {
        let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let ids = try tokenizer.encode(bytes, addSpecialTokens: false, parseSpecialTokens: false)
        #expect(tokenizer.decodeBytes(ids) == bytes)
        #expect(ids.flatMap { tokenizer.bytes(of: $0) } == bytes)
      }
    }
  }

  @Test("byte fallback keeps all bytes, behind the space that it sets first")
  func byteFallbackRoundTrip() throws {
    let tokenizer = try Tokenizer.load(directory: Fixtures.path("tiny/llama"))
    var generator = SeededGenerator(seed: 2)
    for _ in 0..<100 {
      let bytes = (0..<50).map { _ in UInt8.random(in: 0...255, using: &generator) }
      let ids = try tokenizer.encode(bytes, addSpecialTokens: false, parseSpecialTokens: false)
      #expect(ids.flatMap { tokenizer.bytes(of: $0) } == [0x20] + bytes)
    }
  }

  @Test(
    "text comes back from byte-level and SentencePiece tokenizers",
    arguments: ["demo", "tiny/llama", "tiny/gpt2", "tokenizers/gpt2"])
  func textRoundTrip(folder: String) throws {
    let tokenizer = try Tokenizer.load(directory: Fixtures.path(folder))
    var generator = SeededGenerator(seed: 3)
    for _ in 0..<200 {
      let text = RandomText.text(scalars: Int.random(in: 0...60, using: &generator), &generator)
      let ids = try tokenizer.encode(text, addSpecialTokens: false, parseSpecialTokens: false)
      #expect(tokenizer.decode(ids).utf8.elementsEqual(text.utf8), "\(text.debugDescription)")
    }
  }

  @Test("a stream of tokens gives the text of all, in whole characters", arguments: folders)
  func streamEqualsDecode(folder: String) throws {
    let tokenizer = try Tokenizer.load(directory: Fixtures.path(folder))
    var generator = SeededGenerator(seed: 4)
    let end = Int32(tokenizer.vocabularySize) + 3
    for round in 0..<200 {
      // Random ids make broken characters; real text makes whole ones of many tokens.
      let ids =
        round % 2 == 0
        ? (0..<20).map { _ in Int32.random(in: -2..<end, using: &generator) }
        : try tokenizer.encode(RandomText.text(scalars: 20, &generator))
      let skips = round % 4 < 2
      let text = tokenizer.decode(ids, skipSpecialTokens: skips)
      #expect(tokenizer.streamed(ids, skipSpecialTokens: skips).utf8.elementsEqual(text.utf8), "\(ids)")
    }
  }

  @Test("a stream emits a character with its last byte, and starts anew when finished")
  func streamHoldsCharacters() throws {
    let tokenizer = try Tokenizer.load(directory: Fixtures.path("demo"))
    let bytes = Array("aé€😀".utf8)
    let ids = try bytes.map { byte in
      try #require((0..<Int32(tokenizer.vocabularySize)).first { tokenizer.bytes(of: $0) == [byte] })
    }
    var stream = DetokenizerStream(tokenizer, skipSpecialTokens: false)
    #expect(ids.map { stream.append($0) } == ["a", "", "é", "", "", "€", "", "", "", "😀"])
    #expect(stream.finish() == "")
    #expect(stream.append(ids[1]) == "")
    #expect(stream.append(ids[0]) == "\u{FFFD}a")
    #expect(stream.append(ids[3]) == "")
    #expect(stream.finish() == "\u{FFFD}")
    #expect(stream.append(ids[0]) == "a")
  }

  @Test("many threads at once give what one gives")
  func isSafeForThreads() async throws {
    let tokenizer = try Tokenizer.load(directory: Fixtures.path("demo"))
    let texts = (0..<40).map { seed in
      var generator = SeededGenerator(seed: UInt64(seed))
      return RandomText.text(scalars: 200, &generator)
    }
    let expected = try texts.map { try tokenizer.encode($0) }
    let results = try await withThrowingTaskGroup(of: (Int, [Int32]).self) { group in
      for (index, text) in texts.enumerated() { group.addTask { (index, try tokenizer.encode(text)) } }
      var results = [[Int32]](repeating: [], count: texts.count)
      for try await (index, ids) in group { results[index] = ids }
      return results
    }
    #expect(results == expected)
  }

  @Test("long pieces are joined as short ones are")
  func longAndShortAgree() throws {
    let tokenizer = try Tokenizer.load(directory: Fixtures.path("demo"))
    guard case .bytePair(let model) = tokenizer.parts.model else {
      Issue.record("the demo's model is not BPE")
      return
    }
    var generator = SeededGenerator(seed: 5)
    for _ in 0..<100 {
      let letters = Array("abeht ".utf8)
      var scratch = EncodeScratch()
      for _ in 0..<Int.random(in: 20...90, using: &generator) {
        let letter = letters.randomElement(using: &generator) ?? 0
        scratch.symbols.append(model.vocabulary.id(of: [letter]))
      }
      let symbols = scratch.symbols
      var short: [Int32] = []
      model.joinShort(&scratch, into: &short)
      scratch.symbols = symbols
      var long: [Int32] = []
      model.joinLong(&scratch, into: &long)
      #expect(long == short && long.count < symbols.count)
    }
  }
}

/// Texts that mix scripts, spaces, digits, marks and signs, with runs of each.
enum RandomText {
  private static let ranges: [ClosedRange<UInt32>] = [
    0x20...0x7E, 0x61...0x7A, 0x20...0x20, 0x30...0x39, 0x09...0x0D, 0xA0...0x17F, 0x300...0x36F,
    0x370...0x52F,
    0x590...0x6FF, 0x900...0x97F, 0x1100...0x11FF, 0x2000...0x206F, 0x2150...0x218F, 0x3000...0x30FF,
    0x4E00...0x4FFF, 0xAC00...0xAD00, 0xFF00...0xFFEF, 0x1F300...0x1F64F, 0x20000...0x20100,
  ]

  static func text(scalars count: Int, _ generator: inout SeededGenerator) -> String {
    var text = String.UnicodeScalarView()
    while text.count < count {
      let range = ranges.randomElement(using: &generator) ?? 0x61...0x7A
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        if let scalar = Unicode.Scalar(UInt32.random(in: range, using: &generator)) { text.append(scalar) }
        if Int.random(in: 0..<12, using: &generator) == 0 {
          text.append(contentsOf: "'s 'LL I've".unicodeScalars)
        }
      }
    }
    return String(text)
  }
}
