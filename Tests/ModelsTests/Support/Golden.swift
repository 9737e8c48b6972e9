import JSON
import TestSupport

/// The reference logits of one checkpoint under Tests/Fixtures, read without the code under test.
struct Golden {
  struct Prompt {
    var tokens: [Int32]
    /// `[tokens.count, vocabulary]`
    var logits: [Float]
    var greedy: [Int32]
    /// What to serve the prompt with, where the positions depend on it.
    var modelLength: Int?
  }

  let directory: String
  let prompts: [Prompt]

  init(_ folder: String) throws {
    directory = Fixtures.path(folder)
    let tensors = try SafetensorsText(folder + "/expected.safetensors")
    let json = try JSONValue.parse(Fixtures.bytes(folder + "/expected.json"))
    // The tiny checkpoints spell it "greedy_tokens", the families "greedy".
    let notes = json["prompts"]?.array ?? []
    prompts = try notes.indices.map { index in
      let greedy = (notes[index]["greedy"] ?? notes[index]["greedy_tokens"])?.array ?? []
      return Prompt(
        tokens: try tensors.integers("input_ids_\(index)"), logits: try tensors.floats("logits_\(index)"),
        greedy: greedy.compactMap { $0.int.map(Int32.init) }, modelLength: notes[index]["model_length"]?.int)
    }
  }
}

/// A few lines that read safetensors, so that references do not pass through the reader under test.
struct SafetensorsText {
  struct Missing: Error { let tensor: String }

  private let header: JSONValue
  var names: [String] { header.object?.keys.filter { $0 != "__metadata__" } ?? [] }
  private let data: [UInt8]

  init(_ fixture: String) throws {
    let bytes = try Fixtures.bytes(fixture)
    let length = bytes[0..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
    header = try JSONValue.parse(Array(bytes[8..<8 + length]))
    data = Array(bytes[(8 + length)...])
  }

  private func slice(_ name: String) throws -> (bytes: ArraySlice<UInt8>, type: String) {
    guard let entry = header[name], let offsets = entry["data_offsets"]?.array?.compactMap(\.int),
      let type = entry["dtype"]?.string
    else { throw Missing(tensor: name) }
    return (data[offsets[0]..<offsets[1]], type)
  }

  func integers(_ name: String) throws -> [Int32] {
    let (bytes, type) = try slice(name)
    let size = type == "I64" ? 8 : 4
    return stride(from: bytes.startIndex, to: bytes.endIndex, by: size).map { start in
      Int32(truncatingIfNeeded: bytes[start..<start + 4].reversed().reduce(0) { $0 << 8 | Int64($1) })
    }
  }

  func floats(_ name: String) throws -> [Float] {
    let (bytes, _) = try slice(name)
    return unsafe bytes.withUnsafeBytes { raw in
      (0..<raw.count / 4).map { index in
        unsafe Float(bitPattern: raw.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self))
      }
    }
  }
}
