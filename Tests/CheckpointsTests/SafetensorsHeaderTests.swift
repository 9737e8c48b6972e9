import Checkpoints
import JSON
import Numerics
import Testing

@Suite struct SafetensorsHeaderTests {
  private func error(_ bytes: [UInt8]) -> SafetensorsError? {
    do {
      _ = try SafetensorsSamples.parse(bytes)
      return nil
    } catch {
      return error
    }
  }

  private func error(header: String, dataBytes: Int = 0) -> SafetensorsError? {
    error(SafetensorsSamples.file(header: header, data: [UInt8](repeating: 0, count: dataBytes)))
  }

  @Test func readsTensorsInTheOrderOfTheirData() throws {
    let header = try SafetensorsSamples.parse(SafetensorsSamples.small)
    #expect(header.metadata == [.init(key: "format", value: "pt")])
    #expect(header.tensors.map(\.name) == ["a", "c", "b"])
    #expect(header.tensors.map(\.shape) == [[2], [0, 5], [3, 1]])
    let start = header.dataOffset
    #expect(
      header.tensors.map(\.byteRange) == [start..<start + 8, start + 8..<start + 8, start + 8..<start + 11])
    #expect(start + 11 == SafetensorsSamples.small.count)
  }

  @Test func readsEveryType() throws {
    let sizes = [
      ("F64", 8), ("F32", 4), ("F16", 2), ("BF16", 2), ("I64", 8), ("I32", 4), ("I16", 2), ("I8", 1),
      ("U8", 1),
      ("BOOL", 1), ("F8_E4M3", 1), ("F8_E5M2", 1),
    ]
    for (name, size) in sizes {
      let header = #"{"x":{"shape":[],"data_offsets":[0,\#(size)],"dtype":"\#(name)"}}"#
      let file = SafetensorsSamples.file(header: header, data: [UInt8](repeating: 0, count: size))
      let tensor = try #require(try SafetensorsSamples.parse(file).tensors.first)
      #expect(tensor.dataType.byteCount == size)
      #expect(tensor.shape == [])
    }
  }

  @Test func anEmptyCheckpointIsFine() throws {
    #expect(try SafetensorsSamples.parse(SafetensorsSamples.file(header: "{}")).tensors == [])
  }

  @Test func refusesEveryTruncation() {
    for length in 0..<SafetensorsSamples.small.count {
      #expect(error(Array(SafetensorsSamples.small.prefix(length))) != nil, "cut to \(length) bytes")
    }
  }

  @Test func survivesAnyDamagedByte() {
    for place in SafetensorsSamples.small.indices {
      for value: UInt8 in [0, 0x22, 0x2C, 0x39, 0x7B, 0x80, 0xFF] {
        var bytes = SafetensorsSamples.small
        bytes[place] = value
        _ = error(bytes)
      }
    }
  }

  @Test func refusesHeaderLengthsBeyondTheFile() {
    let limit = SafetensorsHeader.maximumBytes
    let huge = SafetensorsSamples.file(headerLength: 1 << 60, header: "{}")
    #expect(error(huge) == .headerTooLong(bytes: 1 << 60, limit: limit))
    let all = SafetensorsSamples.file(headerLength: .max, header: "{}")
    #expect(error(all) == .headerTooLong(bytes: .max, limit: limit))
    let past = SafetensorsSamples.file(headerLength: 3, header: "{}")
    #expect(error(past) == .headerPastEnd(bytes: 3, fileSize: 10))
    #expect(error(SafetensorsSamples.file(header: "")) == .headerPastEnd(bytes: 0, fileSize: 8))
    #expect(error([1, 2, 3]) == .tooShort(fileSize: 3))
  }

  @Test func refusesWhatIsNoJSONObject() throws {
    #expect(error(header: " {}") == .headerStart(byte: 32))
    #expect(error(header: "[]") == .headerStart(byte: 91))
    for text in [
      "{", "{\"a\"", "{\"a\":1}", "{}}", "{\"a\":[]}", "{\"__metadata__\":{\"a\":1}}", "{\"\u{1}\":{}}",
    ] {
      guard case .json = error(header: text) else {
        Issue.record("\(text) gave \(String(describing: error(header: text)))")
        continue
      }
    }
    let deep = "{\"a\":{\"x\":" + String(repeating: "[", count: 100_000)
    guard case .json(let problem) = error(header: deep) else {
      Issue.record("deep nesting was accepted")
      return
    }
    #expect(problem.kind == .depthLimit(16))
  }

  @Test(arguments: ["-1", "1.5", "2.0", "1e2", "99999999999999999999", "1e400"])
  func refusesExtentsThatAreNoWholeNumbers(extent: String) {
    let found = error(
      header: #"{"x":{"dtype":"U8","shape":[\#(extent)],"data_offsets":[0,1]}}"#, dataBytes: 1)
    switch found {
    case .badExtent(tensor: "x", let offset): #expect(offset == 8 + 28)
    case .json(let problem): #expect(extent == "1e400" && problem.kind == .numberOutOfRange)
    default: Issue.record("\(String(describing: found))")
    }
  }

  @Test(arguments: [
    "[4611686018427387904,2]", "[9223372036854775807,9223372036854775807]",
    "[0,9223372036854775807,9223372036854775807]", "[2305843009213693952]",
  ])
  func refusesShapesThatOverflow(shape: String) {
    let found = error(header: #"{"x":{"dtype":"F32","shape":\#(shape),"data_offsets":[0,0]}}"#)
    #expect(found == .shapeOverflow(tensor: "x"))
  }

  @Test(arguments: ["[1,0]", "[0]", "[]", "[0,1,1]", "[-1,1]", "[0,1.0]", "[0,-4]"])
  func refusesRangesThatAreNone(range: String) {
    let found = error(header: #"{"x":{"dtype":"U8","shape":[1],"data_offsets":\#(range)}}"#, dataBytes: 1)
    #expect(found == .badRange(tensor: "x", offset: 8 + 46))
  }

  @Test func refusesRangesOutsideTheData() {
    let found = error(header: #"{"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#, dataBytes: 3)
    #expect(found == .outsideData(tensor: "x", begin: 0, end: 4, dataBytes: 3))
    let far = error(
      header: #"{"x":{"dtype":"U8","shape":[4],"data_offsets":[9223372036854775803,9223372036854775807]}}"#)
    #expect(far == .outsideData(tensor: "x", begin: .max - 4, end: .max, dataBytes: 0))
  }

  @Test func refusesARangeThatDoesNotFitTheShape() {
    let found = error(header: #"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, dataBytes: 4)
    #expect(found == .sizeMismatch(tensor: "x", shapeBytes: 8, rangeBytes: 4))
  }

  @Test func refusesOverlapsHolesAndTrailingBytes() {
    func two(_ first: String, _ second: String) -> String {
      #"{"x":{"dtype":"U8","shape":[2],"data_offsets":\#(first)},"y":{"dtype":"U8","shape":[2],"data_offsets":\#(second)}}"#
    }
    #expect(error(header: two("[0,2]", "[2,4]"), dataBytes: 4) == nil)
    let start = 8 + two("[0,2]", "[2,4]").utf8.count
    #expect(
      error(header: two("[0,2]", "[1,3]"), dataBytes: 3)
        == .overlap(tensor: "y", other: "x", offset: start + 1))
    #expect(
      error(header: two("[0,2]", "[0,2]"), dataBytes: 2) == .overlap(tensor: "y", other: "x", offset: start))
    #expect(error(header: two("[0,2]", "[3,5]"), dataBytes: 5) == .hole(from: start + 2, to: start + 3))
    #expect(error(header: two("[2,4]", "[4,6]"), dataBytes: 6) == .hole(from: start, to: start + 2))
    #expect(error(header: two("[0,2]", "[2,4]"), dataBytes: 5) == .hole(from: start + 4, to: start + 5))
    #expect(error(header: "{}", dataBytes: 1) == .hole(from: 10, to: 11))
  }

  @Test func refusesDuplicateAndMissingFields() {
    let entry = #"{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#
    #expect(error(header: #"{"x":\#(entry),"x":\#(entry)}"#) == .duplicateTensor("x"))
    #expect(error(header: #"{"__metadata__":{},"__metadata__":{}}"#) == .duplicateTensor("__metadata__"))
    #expect(
      error(header: #"{"x":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#)
        == .duplicateField(tensor: "x", field: "dtype"))
    #expect(
      error(header: #"{"x":{"shape":[0],"data_offsets":[0,0]}}"#)
        == .missingField(tensor: "x", field: "dtype"))
    #expect(error(header: #"{"x":{"dtype":"U8"}}"#) == .missingField(tensor: "x", field: "shape"))
    #expect(
      error(header: #"{"x":{"dtype":"U8","shape":[0]}}"#) == .missingField(tensor: "x", field: "data_offsets")
    )
  }

  @Test(arguments: ["F31", "f32", "", "U64", "F4"])
  func refusesUnknownTypesByName(type: String) {
    let found = error(header: #"{"x":{"dtype":"\#(type)","shape":[0],"data_offsets":[0,0]}}"#)
    #expect(found == .unknownDataType(tensor: "x", name: type))
    #expect(found?.description.contains("\"\(type)\"; known are F64, F32") == true)
  }

  @Test func passesOverMembersItDoesNotKnow() throws {
    let header = #"{"x":{"dtype":"U8","note":{"a":[1,{}]},"shape":[0],"data_offsets":[0,0]}}"#
    #expect(try SafetensorsSamples.parse(SafetensorsSamples.file(header: header)).tensors.count == 1)
  }
}
