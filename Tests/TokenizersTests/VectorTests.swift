import JSON
import TestSupport
import Testing
import Tokenizers

/// One case of a `vectors.json`.
struct Vector: Sendable, CustomTestStringConvertible {
  let text: String
  let ids: [Int32]
  let idsWithSpecial: [Int32]
  let decoded: String

  init(_ value: JSONValue) throws {
    text = try #require(value["text"]?.string)
    ids = try #require(value["ids"]).tokenIDs
    idsWithSpecial = try #require(value["ids_with_special"]).tokenIDs
    decoded = try #require(value["decoded"]?.string)
  }

  var testDescription: String { "\(text.debugDescription)" }

  static func load(_ path: String) throws -> [Vector] {
    let value = try JSONValue.parse(try Fixtures.read(path))
    return try #require(value["cases"]?.array).map(Vector.init)
  }
}

extension JSONValue {
  var tokenIDs: [Int32] { (array ?? []).compactMap { $0.int.flatMap { Int32(exactly: $0) } } }
}

/// Published vocabularies against the ids of the Hugging Face library (and of llama.cpp, which agree).
@Suite("Published tokenizers")
struct VectorTests {
  @Test("gives the reference's ids and text", arguments: ["gpt2", "bert", "qwen2", "llama2", "llama3"])
  func givesReferenceIDsAndText(name: String) throws {
    guard let folder = Vocabularies.folder(name) else { return }
    let tokenizer = try Tokenizer.load(directory: folder)
    let vectors = try Vector.load(folder + "/vectors.json")
    #expect(vectors.count > 70)
    for vector in vectors {
      #expect(
        try tokenizer.encode(vector.text, addSpecialTokens: false) == vector.ids, "\(vector.testDescription)")
      #expect(try tokenizer.encode(vector.text) == vector.idsWithSpecial, "\(vector.testDescription)")
      #expect(tokenizer.decode(vector.ids) == vector.decoded, "\(vector.testDescription)")
    }
  }

  @Test(
    "a GGUF vocabulary gives the same ids",
    arguments: [
      ("gpt2", "ggml-vocab-gpt-2.gguf"), ("llama2", "ggml-vocab-llama-spm.gguf"),
      ("bert", "ggml-vocab-bert-bge.gguf"),
    ])
  func ggufGivesTheSame(name: String, file: String) throws {
    guard let folder = Vocabularies.folder(name) else { return }
    let tokenizer = try Tokenizer(gguf: try GGUFReader.vocabulary("\(folder)/\(file)"))
    for vector in try Vector.load(folder + "/vectors.json") {
      #expect(
        try tokenizer.encode(vector.text, addSpecialTokens: false) == vector.ids, "\(vector.testDescription)")
      #expect(try tokenizer.encode(vector.text) == vector.idsWithSpecial, "\(vector.testDescription)")
      #expect(tokenizer.decode(vector.ids) == vector.decoded, "\(vector.testDescription)")
    }
  }
}

/// Where the vocabularies lie: some with the tests, some only on machines that may hold them.
enum Vocabularies {
  static func folder(_ name: String) -> String? {
    let committed = Fixtures.path("tokenizers/\(name)")
    if (try? Fixtures.read(committed + "/tokenizer.json")) != nil { return committed }
    guard let shared = Fixtures.shared else {
      print("skipped: the \(name) vocabulary may not be redistributed and is not on this machine")
      return nil
    }
    return shared + "/tokenizers/\(name)"
  }
}
