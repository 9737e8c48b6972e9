import Checkpoints
import Numerics
import Testing

@Suite struct GGUFFileTests {
  private func error(_ file: GGUFBytes) -> GGUFError? { error(file.bytes) }

  private func error(_ bytes: [UInt8]) -> GGUFError? {
    do {
      _ = try GGUFBytes.parse(bytes)
      return nil
    } catch {
      return error
    }
  }

  @Test func readsEveryTypeOfValue() throws {
    let metadata = try GGUFBytes.parse(GGUFBytes.sample).metadata
    #expect(metadata["u8"] == .uint8(200))
    #expect(metadata["i8"] == .int8(-3))
    #expect(metadata["u16"] == .uint16(50_000))
    #expect(metadata["i16"] == .int16(-2))
    #expect(metadata["u32"] == .uint32(4_000_000_000))
    #expect(metadata["i32"] == .int32(-5))
    #expect(metadata["f32"] == .float32(0.5))
    #expect(metadata["bool"] == .bool(true))
    #expect(metadata["text"] == .string(Array("grüße".utf8)))
    #expect(metadata["u64"] == .uint64(.max))
    #expect(metadata["i64"] == .int64(.min))
    #expect(metadata["f64"] == .float64(-1.25))
    #expect(metadata["words"] == .array(.strings(GGUFStrings(["a", "", "bc"]))))
    #expect(metadata["nested"] == .array(.arrays([.int32([1, -1]), .bool([false])])))
    #expect(metadata.items.count == 14)
    #expect(metadata["none"] == nil)
  }

  @Test func typedAccessConvertsWidthsButNotKinds() throws {
    let metadata = try GGUFBytes.parse(GGUFBytes.sample).metadata
    #expect(try metadata.int("u8") == 200)
    #expect(try metadata.int("i64") == .min)
    #expect(try metadata.double("f32") == 0.5)
    #expect(try metadata.double("i8") == -3)
    #expect(try metadata.bool("bool") == true)
    #expect(try metadata.string("text") == "grüße")
    #expect(try metadata.strings("words").map(Array.init) == [[97], [], [98, 99]])
    #expect(try metadata.int("none") == nil)
    #expect(throws: GGUFError.wrongType(key: "u64", found: "18446744073709551615", expected: "an integer")) {
      try metadata.int("u64")
    }
    #expect(throws: GGUFError.wrongType(key: "text", found: "\"grüße\"", expected: "a bool")) {
      try metadata.bool("text")
    }
    #expect(throws: GGUFError.wrongType(key: "words", found: "an array of 3 strings", expected: "UTF-8 text"))
    {
      try metadata.string("words")
    }
    #expect(throws: GGUFError.self) { try metadata.ints("words") }
    #expect(throws: GGUFError.self) { try metadata.floats("words") }
    #expect(throws: GGUFError.self) { try metadata.strings("nested") }
  }

  @Test func readsTensorsWithTheOutermostExtentFirst() throws {
    let file = try GGUFBytes.parse(GGUFBytes.sample)
    #expect(file.tensors.map(\.name) == ["first", "second"])
    #expect(file.tensors.map(\.shape) == [[3, 2], [4]])
    #expect(file.tensors.map(\.type) == [.f32, .f16])
    let start = file.dataOffset
    #expect(start % 32 == 0)
    #expect(file.tensors.map(\.byteRange) == [start..<start + 24, start + 32..<start + 40])
  }

  @Test func version2HasTheSameLayout() throws {
    var bytes = GGUFBytes.sample
    bytes[4] = 2
    #expect(try GGUFBytes.parse(bytes).version == 2)
  }

  @Test func refusesEveryTruncation() {
    for length in 0..<GGUFBytes.sample.count {
      #expect(error(Array(GGUFBytes.sample.prefix(length))) != nil, "cut to \(length) bytes")
    }
  }

  @Test func survivesAnyDamagedByte() {
    for place in GGUFBytes.sample.indices {
      for value: UInt8 in [0, 1, 9, 0x7F, 0x80, 0xFF] {
        var bytes = GGUFBytes.sample
        bytes[place] = value
        _ = error(bytes)
      }
    }
  }

  @Test func refusesOtherFiles() {
    #expect(error([]) == .truncated(field: "the magic number", offset: 0, fileSize: 0))
    #expect(error(Array("GGML".utf8) + [UInt8](repeating: 0, count: 40)) == .badMagic)
    #expect(error(GGUFBytes(version: 1, tensors: 0, items: 0)) == .unsupportedVersion(1))
    #expect(error(GGUFBytes(version: 4, tensors: 0, items: 0)) == .unsupportedVersion(4))
    #expect(error(GGUFBytes(version: 0, tensors: 0, items: 0)) == .unsupportedVersion(0))
    #expect(error(GGUFBytes(version: 3 << 24, tensors: 0, items: 0)) == .bigEndian)
  }

  @Test(arguments: [1 << 60, UInt64.max, 1 << 63, 1000])
  func refusesCountsTheFileCannotHold(count: UInt64) {
    #expect(
      error(GGUFBytes(tensors: count, items: 0))
        == .countTooLarge(field: "the tensor count", count: count, offset: 8))
    #expect(
      error(GGUFBytes(tensors: 0, items: count))
        == .countTooLarge(field: "the metadata count", count: count, offset: 16))
    var key = GGUFBytes(tensors: 0, items: 1)
    key.add(count)
    key.add(UInt64(0))
    #expect(
      error(key) == .countTooLarge(field: "the length of metadata key 0", count: count, offset: 24))
    for type: UInt32 in [0, 3, 5, 7, 8, 9, 12] {
      var array = GGUFBytes(tensors: 0, items: 1)
      array.item("k", type: 9)
      array.add(type)
      array.add(count)
      array.add(UInt64(0))
      #expect(
        error(array) == .countTooLarge(field: "the length of k", count: count, offset: 24 + 8 + 1 + 4 + 4))
    }
  }

  @Test func refusesUnknownValueTypes() {
    var value = GGUFBytes(tensors: 0, items: 1)
    value.item("k", type: 13)
    #expect(error(value) == .unknownValueType(key: "k", id: 13, offset: 33))
    var array = GGUFBytes(tensors: 0, items: 1)
    array.item("k", type: 9)
    array.add(UInt32(99))
    array.add(UInt64(0))
    #expect(error(array) == .unknownValueType(key: "k", id: 99, offset: 37))
  }

  @Test func refusesDeeplyNestedArrays() {
    var file = GGUFBytes(tensors: 0, items: 1)
    file.item("k", type: 9)
    for _ in 0..<100_000 {
      file.add(UInt32(9))
      file.add(UInt64(1))
    }
    #expect(error(file) == .arrayTooDeep(key: "k", limit: 4))
  }

  @Test func refusesBadBoolsAndText() {
    var flag = GGUFBytes(tensors: 0, items: 1)
    flag.item("k", type: 7)
    flag.add(UInt8(2))
    #expect(error(flag) == .badBool(key: "k", byte: 2, offset: 37))
    var key = GGUFBytes(tensors: 0, items: 1)
    key.add(UInt64(2))
    key.bytes += [0xC3, 0x28, 0, 0, 0, 0, 1]
    #expect(error(key) == .notUTF8(field: "metadata key 0", offset: 32))
  }

  @Test func refusesDuplicates() {
    var keys = GGUFBytes(tensors: 0, items: 2)
    for _ in 0..<2 {
      keys.item("k", type: 0)
      keys.add(UInt8(1))
    }
    #expect(error(keys) == .duplicateKey("k"))
    var tensors = GGUFBytes(tensors: 2, items: 0)
    tensors.tensor("t", [0])
    tensors.tensor("t", [0])
    tensors.pad()
    #expect(error(tensors) == .duplicateTensor("t"))
  }

  @Test(arguments: [0, 3, 1 << 21, UInt64.max >> 1, 48])
  func refusesBadAlignments(alignment: UInt64) {
    var file = GGUFBytes(tensors: 0, items: 1)
    file.item("general.alignment", type: 10)
    file.add(alignment)
    #expect(error(file) == .badAlignment(alignment))
  }

  @Test func aNegativeOrTextAlignmentIsRefused() {
    var negative = GGUFBytes(tensors: 0, items: 1)
    negative.item("general.alignment", type: 5)
    negative.add(Int32(-32))
    #expect(error(negative) == .badAlignment(0))
    var text = GGUFBytes(tensors: 0, items: 1)
    text.item("general.alignment", type: 8)
    text.add("32")
    #expect(
      error(text) == .wrongType(key: "general.alignment", found: "\"32\"", expected: "an integer"))
  }

  @Test(arguments: [1, 8, 64, 1 << 20])
  func dataBeginsAtTheAlignment(alignment: UInt32) throws {
    var file = GGUFBytes(tensors: 1, items: 1)
    file.item("general.alignment", type: 4)
    file.add(alignment)
    file.tensor("t", [3], type: 24)
    file.pad(to: Int(alignment))
    let start = file.bytes.count
    file.bytes += [1, 2, 3]
    #expect(try file.parse().tensors.map(\.byteRange) == [start..<start + 3])
  }

  @Test func refusesTensorsOutsideTheFile() {
    func file(_ extents: [UInt64], offset: UInt64, dataBytes: Int) -> GGUFBytes {
      var file = GGUFBytes(tensors: 1, items: 0)
      file.tensor("t", extents, offset: offset)
      file.pad()
      file.bytes += [UInt8](repeating: 0, count: dataBytes)
      return file
    }
    #expect(error(file([8], offset: 0, dataBytes: 32)) == nil)
    let short = file([8], offset: 0, dataBytes: 31)
    #expect(
      error(short) == .tensorOutsideFile(tensor: "t", offset: 0, bytes: 32, fileSize: short.bytes.count))
    let far = file([8], offset: 1 << 60, dataBytes: 32)
    #expect(
      error(far) == .tensorOutsideFile(tensor: "t", offset: 1 << 60, bytes: 32, fileSize: far.bytes.count))
    let last = UInt64.max - 31
    #expect(
      error(file([8], offset: last, dataBytes: 32))
        == .tensorOutsideFile(tensor: "t", offset: last, bytes: 32, fileSize: far.bytes.count))
    #expect(
      error(file([8], offset: 4, dataBytes: 64)) == .misalignedTensor(tensor: "t", offset: 4, alignment: 32))
  }

  @Test func refusesShapesThatOverflow() {
    for extents: [UInt64] in [
      [1 << 63], [.max], [1 << 32, 1 << 32], [1 << 62, 1], [0, .max], [1 << 30, 1 << 30, 1 << 30, 1 << 30],
    ] {
      var file = GGUFBytes(tensors: 1, items: 0)
      file.tensor("t", extents)
      file.pad()
      #expect(error(file) == .shapeOverflow(tensor: "t"), "\(extents)")
    }
    var many = GGUFBytes(tensors: 1, items: 0)
    many.tensor("t", [1, 1, 1, 1, 1])
    #expect(error(many) == .tooManyDimensions(tensor: "t", count: 5))
    var absurd = GGUFBytes(tensors: 1, items: 0)
    absurd.add("t")
    absurd.add(UInt32.max)
    absurd.pad()
    #expect(error(absurd) == .tooManyDimensions(tensor: "t", count: .max))
  }

  @Test func emptyAndScalarTensorsAreFine() throws {
    var file = GGUFBytes(tensors: 2, items: 0)
    file.tensor("empty", [5, 0])
    file.tensor("scalar", [])
    file.pad()
    file.add(Float(3).bitPattern)
    let tensors = try file.parse().tensors
    #expect(tensors.map(\.shape) == [[0, 5], []])
    #expect(tensors.map(\.byteRange.count) == [0, 4])
  }

  @Test func refusesOverlappingTensors() {
    var file = GGUFBytes(tensors: 2, items: 0)
    file.tensor("a", [16])
    file.tensor("b", [8], offset: 32)
    file.pad()
    file.bytes += [UInt8](repeating: 0, count: 64)
    #expect(error(file) == .overlap(tensor: "b", other: "a"))
  }

  @Test func refusesRowsThatAreNoWholeBlocks() {
    var file = GGUFBytes(tensors: 1, items: 0)
    file.tensor("t", [48, 2], type: GGMLType.q80.rawValue)
    file.pad()
    #expect(error(file) == .partialBlock(tensor: "t", row: 48, type: .q80))
  }

  @Test(arguments: [
    (16, "IQ2_XXS"), (39, "MXFP4"), (15, "Q8_K"), (4, "an unknown type"), (1 << 31, "unknown"),
  ])
  func refusesUnsupportedTensorTypesByName(id: UInt32, name: String) {
    var file = GGUFBytes(tensors: 1, items: 0)
    file.tensor("t", [256], type: id)
    #expect(error(file) == .unsupportedTensorType(tensor: "t", id: id))
    #expect(error(file)?.description.contains(name) == true)
    #expect(error(file)?.description.contains("known are F32, F16, Q4_0") == true)
  }
}
