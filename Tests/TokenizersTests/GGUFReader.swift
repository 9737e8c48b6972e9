import TestSupport
import Testing
import Tokenizers

/// Reads the vocabulary of a trusted GGUF file, for tests.
struct GGUFReader {
  private let bytes: [UInt8]
  private var place = 0

  private enum Value {
    case integer(Int)
    case float(Float)
    case text([UInt8])
    case list([Value])

    var int: Int? { if case .integer(let value) = self { value } else { nil } }
    var bytes: [UInt8]? { if case .text(let value) = self { value } else { nil } }
    var string: String? { bytes.map { String(decoding: $0, as: UTF8.self) } }
    var list: [Value] { if case .list(let values) = self { values } else { [] } }
    var float: Float? { if case .float(let value) = self { value } else { nil } }
  }

  static func vocabulary(_ path: String) throws -> GGUFVocabulary {
    var reader = GGUFReader(bytes: try Fixtures.read(path))
    return try reader.read()
  }

  private init(bytes: [UInt8]) { self.bytes = bytes }

  private mutating func read() throws -> GGUFVocabulary {
    place = 16
    var values: [String: Value] = [:]
    for _ in 0..<integer(8) {
      let key = String(decoding: text(), as: UTF8.self)
      values[key] = try value(type: integer(4))
    }
    func metadata(_ key: String) -> Value? { values["tokenizer.ggml.\(key)"] }
    func id(_ key: String) -> Int32? { metadata("\(key)_token_id")?.int.map { Int32($0) } }
    func flag(_ key: String) -> Bool? { metadata(key)?.int.map { $0 != 0 } }
    return GGUFVocabulary(
      model: try #require(metadata("model")?.string), pre: metadata("pre")?.string ?? "default",
      tokens: metadata("tokens")?.list.compactMap(\.bytes) ?? [],
      scores: metadata("scores")?.list.compactMap(\.float) ?? [],
      tokenTypes: metadata("token_type")?.list.compactMap { $0.int.map { Int32($0) } } ?? [],
      merges: metadata("merges")?.list.compactMap(\.string) ?? [], bosID: id("bos"), eosID: id("eos"),
      unknownID: id("unknown"), padID: id("padding"), classifierID: id("cls"), separatorID: id("seperator"),
      addBOS: flag("add_bos_token"), addEOS: flag("add_eos_token"), addSpacePrefix: flag("add_space_prefix"))
  }

  private mutating func integer(_ size: Int) -> Int {
    defer { place += size }
    return (0..<size).reduce(0) { $0 | Int(bytes[place + $1]) << (8 * $1) }
  }

  private mutating func text() -> [UInt8] {
    let count = integer(8)
    defer { place += count }
    return Array(bytes[place..<place + count])
  }

  private mutating func value(type: Int) throws -> Value {
    switch type {
    case 0, 1, 7: return .integer(integer(1))
    case 2, 3: return .integer(integer(2))
    case 4, 5: return .integer(integer(4))
    case 6: return .float(Float(bitPattern: UInt32(integer(4))))
    case 8: return .text(text())
    case 9:
      let element = integer(4)
      let count = integer(8)
      return .list(try (0..<count).map { _ in try value(type: element) })
    default: return .integer(integer(8))
    }
  }
}
