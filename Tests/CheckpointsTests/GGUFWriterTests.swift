import Checkpoints
import JSON
import Numerics
import TestSupport
import Testing

@Suite struct GGUFWriterTests {
  private static let metadata: [GGUFMetadata.Item] = [
    .init(key: "u8", value: .uint8(1)), .init(key: "i8", value: .int8(-1)),
    .init(key: "u16", value: .uint16(2)),
    .init(key: "i16", value: .int16(-2)), .init(key: "u32", value: .uint32(3)),
    .init(key: "i32", value: .int32(-3)), .init(key: "f32", value: .float32(0.1)),
    .init(key: "bool", value: .bool(false)), .init(key: "text", value: .string([0xFF, 0, 0x41])),
    .init(key: "u64", value: .uint64(.max)), .init(key: "i64", value: .int64(.min)),
    .init(key: "f64", value: .float64(-0.0)),
    .init(key: "bytes", value: .array(.uint8([1, 2]))), .init(key: "shorts", value: .array(.int16([-1]))),
    .init(key: "floats", value: .array(.float32([1, .infinity]))),
    .init(key: "flags", value: .array(.bool([true]))),
    .init(key: "words", value: .array(.strings(GGUFStrings(["", "é"])))),
    .init(key: "nested", value: .array(.arrays([.float64([2]), .int64([]), .arrays([.uint64([7])])]))),
  ]

  private func problem(_ body: () throws -> Void) -> CheckpointError.WriteProblem? {
    do {
      try body()
      return nil
    } catch let CheckpointError.write(_, problem) {
      return problem
    } catch {
      Issue.record("\(error)")
      return nil
    }
  }

  @Test func whatIsWrittenIsRead() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("x.gguf")
    var writer = try GGUFWriter(
      path: path, metadata: Self.metadata,
      tensors: [
        .init(name: "a", type: .f32, shape: [2, 3]), .init(name: "b", type: .q80, shape: [2, 64]),
        .init(name: "c", type: .bf16, shape: [1]), .init(name: "empty", type: .f16, shape: [0]),
        .init(name: "scalar", type: .f32, shape: []),
      ])
    let row = (0..<128).map { Float($0) - 63.5 }
    try writer.write("c", [-2])
    try writer.write("b", row)
    try writer.write("a", [0, 1, 2, 3, 4, 5])
    try writer.write("scalar", [9])
    try writer.write("empty", [])
    try writer.finish()
    let bytes = try Fixtures.read(path)
    let file = try GGUFBytes.parse(bytes)
    #expect(file.metadata.items == Self.metadata)
    #expect(file.version == 3)
    #expect(file.tensors.map(\.shape) == [[2, 3], [2, 64], [1], [0], []])
    #expect(file.tensors.allSatisfy { $0.byteRange.lowerBound % 32 == 0 })
    #expect(bytes.count % 32 == 0)
    #expect(Array(bytes[file.tensors[2].byteRange]) == [0x00, 0xC0])
    let decoded = try #require(file.tensors[1].type.decode(Array(bytes[file.tensors[1].byteRange])))
    for (value, exact) in zip(decoded, row) { #expect(abs(value - exact) <= 63.5 / 127 / 2 + 0.05) }
  }

  /// Rows of zeros, large and tiny values and ties, against `gguf.quants.quantize`.
  @Test func encodersAgreeWithTheReference() throws {
    let vectors = try JSONValue.parse(Fixtures.bytes("gguf/quantize.json"))
    let values = (vectors["values"]?.array ?? []).compactMap(\.int).map { Float(bitPattern: UInt32($0)) }
    #expect(values.count == 12 * 64)
    for (type, name) in [(GGMLType.q80, "Q8_0"), (.q40, "Q4_0")] {
      #expect(type.name == name)
      let encoded = try #require(type.encode(values))
      let text = encoded.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
      #expect(text == vectors[name]?.string)
    }
  }

  @Test func valuesWithoutACodeDoNotTrap() throws {
    let awkward: [Float] = [.nan, .infinity, -.infinity, 1e38, -1e38, .leastNonzeroMagnitude, 0, -0.0]
    for type in GGMLType.encodable {
      for value in awkward {
        let count = max(32, type.blockElements)
        var row = [Float](repeating: 1, count: count)
        row[3] = value
        #expect(type.encode(row)?.count == count / type.blockElements * type.blockBytes)
        #expect(type.encode([Float](repeating: value, count: count)) != nil)
      }
    }
  }

  @Test func anEncodedRowDecodesToItself() throws {
    var generator = SeededGenerator(seed: 11)
    for type in [GGMLType.q80, .q40] {
      for _ in 0..<50 {
        let row = (0..<64).map { _ in Float.random(in: -2...2, using: &generator) }
        let decoded = try #require(type.decode(type.encode(row) ?? []))
        // Decoding gives grid points; half-precision scales move them by 2^-11 at most.
        let step: Float = type == .q80 ? 2 / 127 : 2 / 8
        for (a, b) in zip(row, decoded) { #expect(abs(a - b) <= step * 1.01) }
      }
    }
  }

  @Test func mistakesAreNamed() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("x")
    let a = GGUFWriter.Declaration(name: "a", type: .q40, shape: [32])
    for shape in [[31], [32, 33], [-32], [1, 1, 1, 1, 32], [Int.max - 31, 32]] {
      #expect(
        problem {
          _ = try GGUFWriter(path: path, metadata: [], tensors: [.init(name: "a", type: .q40, shape: shape)])
        } == .badShape(tensor: "a"))
    }
    #expect(
      problem { _ = try GGUFWriter(path: path, metadata: [], tensors: [a, a]) } == .duplicateTensor("a"))
    #expect(
      problem {
        var writer = try GGUFWriter(path: path, metadata: [], tensors: [a])
        try writer.write("a", [Float](repeating: 0, count: 64))
      } == .sizeMismatch(tensor: "a", declared: 18, given: 36))
    #expect(
      problem {
        var writer = try GGUFWriter(path: path, metadata: [], tensors: [a])
        try writer.write("a", [1])
      } == .badShape(tensor: "a"))
    #expect(
      problem {
        var writer = try GGUFWriter(
          path: path, metadata: [], tensors: [.init(name: "k", type: .q5K, shape: [256])])
        try writer.write("k", [Float](repeating: 0, count: 256))
      } == .unsupportedType(tensor: "k", type: "Q5_K"))
    #expect(try directory.names == [])
  }
}
