import JSON
import TestSupport
import Testing

@Suite struct JSONWritingTests {
  @Test func onlyWhatMustBeEscapedIs() throws {
    let text =
      String(String.UnicodeScalarView((0...0x22).compactMap { Unicode.Scalar(UInt8($0)) })) + "/\\é😀\u{7F}"
    let expected =
      #""\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f\u0010\u0011\u0012\u0013"#
      + #"\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f !\"/\\é😀"# + "\u{7F}\""
    #expect(JSONValue.string(text).serialized() == expected)
    #expect(try JSONValue.parse(expected) == .string(text))
  }

  @Test func allButASCIICanBeEscaped() {
    let format = JSONFormat(escapesNonASCII: true)
    #expect(JSONValue.string("aé€😀\n").serialized(format) == #""a\u00e9\u20ac\ud83d\ude00\n""#)
    #expect(JSONValue.object(["é": 1]).serialized(format) == #"{"\u00e9":1}"#)
  }

  /// Right column: what Python 3.11's `repr` prints.
  @Test(
    arguments: [
      (0.0, "0.0"), (-0.0, "-0.0"), (1, "1.0"), (-1.5, "-1.5"), (0.1, "0.1"), (1e-4, "0.0001"),
      (1e-5, "1e-05"),
      (123456789.125, "123456789.125"), (1e15, "1000000000000000.0"),
      (9999999999999998, "9999999999999998.0"), (9007199254740992, "9007199254740992.0"),
      (-9007199254741000, "-9007199254741000.0"), (9007199254740991, "9007199254740991.0"),
      (1e16, "1e+16"), (-1e16, "-1e+16"), (12345678901234568, "1.2345678901234568e+16"),
      (18014398509481984, "1.8014398509481984e+16"), (1.1e16, "1.1e+16"), (1e17, "1e+17"), (1e22, "1e+22"),
      (1.5e300, "1.5e+300"),
      (.leastNonzeroMagnitude, "5e-324"), (1.7976931348623157e308, "1.7976931348623157e+308"),
      (-2.5e-7, "-2.5e-07"),
      (0.3, "0.3"), (0.1 + 0.2, "0.30000000000000004"), (100, "100.0"), (1 / 3.0, "0.3333333333333333"),
    ] as [(Double, String)])
  func doublesAreWrittenAsPythonWritesThem(value: Double, expected: String) {
    #expect(JSONValue.double(value).serialized() == expected)
  }

  @Test func valuesThatJSONLacksBecomeNull() {
    #expect(
      JSONValue.array([.double(.infinity), .double(-.infinity), .double(.nan)]).serialized()
        == "[null,null,null]")
    var writer = JSONWriter()
    writer.float(.nan)
    #expect(writer.bytes == Array("null".utf8))
  }

  @Test func everyDoubleReadsBackExactly() throws {
    var generator = SeededGenerator(seed: 1)
    for _ in 0..<20_000 {
      let value = Double(bitPattern: generator.next())
      guard value.isFinite else { continue }
      #expect(try JSONValue.parse(JSONValue.double(value).serialized()) == .double(value))
    }
    for exponent in -330...308 {
      guard let value = Double("1e\(exponent)") else { continue }
      #expect(try JSONValue.parse(JSONValue.double(value).serialized()) == .double(value))
      #expect(try JSONValue.parse("1e\(exponent)").double == value)
    }
  }

  @Test func floatsAreWrittenShortAndReadBackExactly() throws {
    var generator = SeededGenerator(seed: 2)
    for _ in 0..<5_000 {
      let value = Float(bitPattern: UInt32(truncatingIfNeeded: generator.next()))
      guard value.isFinite else { continue }
      var writer = JSONWriter()
      writer.float(value)
      #expect(writer.bytes.count <= 16)
      #expect(try JSONValue.parse(writer.bytes).double.map { Float($0) } == value)
    }
  }

  @Test func randomTreesReadBackExactlyInEveryFormat() throws {
    var generator = SeededGenerator(seed: 3)
    let formats: [JSONFormat] = [
      .compact, .pretty, .python, JSONFormat(indent: "", itemSeparator: " , "),
      JSONFormat(sortKeys: true, escapesNonASCII: true),
    ]
    for index in 0..<400 {
      let value = JSONValue.random(depth: 5, using: &generator)
      let text = value.serialized(formats[index % formats.count])
      #expect(try JSONValue.parse(text) == value)
    }
  }

  @Test func layoutsAreThoseOfPython() {
    let value: JSONValue = ["b": [1, [], [:], ["x": nil]], "a": true]
    #expect(value.serialized(.python) == #"{"b": [1, [], {}, {"x": null}], "a": true}"#)
    #expect(
      value.serialized(JSONFormat(indent: "    ", keySeparator: ": ", sortKeys: true)) == """
        {
            "a": true,
            "b": [
                1,
                [],
                {},
                {
                    "x": null
                }
            ]
        }
        """)
    #expect(JSONValue.array([1, 2]).serialized(JSONFormat(indent: "")) == "[\n1,\n2\n]")
  }

  @Test func theWriterPutsCommasBetweenWhatItIsTold() throws {
    var writer = JSONWriter()
    writer.beginObject()
    writer.member("id", "cmpl-\"1\"")
    writer.member("created", 1_732_000_000)
    writer.key("choices")
    writer.beginArray()
    writer.beginObject()
    writer.member("index", UInt8(0))
    writer.key("logprobs")
    writer.null()
    writer.endObject()
    writer.beginArray()
    writer.endArray()
    writer.float(0.1)
    writer.double(-0.5)
    writer.bool(true)
    writer.raw(#"{"x":1}"#.utf8)
    writer.value(["y": [2]])
    writer.endArray()
    writer.member("last", false)
    writer.endObject()
    #expect(
      String(decoding: writer.bytes, as: UTF8.self)
        == #"{"id":"cmpl-\"1\"","created":1732000000,"choices":[{"index":0,"logprobs":null},[],0.1,-0.5,true,{"x":1},{"y":[2]}],"last":false}"#
    )
    writer.removeAll()
    writer.literal("data: ")
    writer.beginArray()
    writer.endArray()
    writer.literal("\n\ndata: ")
    writer.integer(Int64.min)
    #expect(String(decoding: writer.bytes, as: UTF8.self) == "data: []\n\ndata: -9223372036854775808")
  }
}

extension JSONValue {
  static func random(depth: Int, using generator: inout SeededGenerator) -> JSONValue {
    switch Int.random(in: 0..<(depth > 0 ? 9 : 7), using: &generator) {
    case 0: return .null
    case 1: return .bool(.random(using: &generator))
    case 2:
      return .integer(Int64(bitPattern: generator.next()) >> Int64.random(in: 0..<64, using: &generator))
    case 3: return .double(Double(Int32.random(in: .min ... .max, using: &generator)) / 1024)
    case 4:
      let value = Double(bitPattern: generator.next())
      return .double(value.isFinite ? value : 0.5)
    case 5, 6: return .string(randomString(using: &generator))
    case 7:
      let count = Int.random(in: 0..<5, using: &generator)
      return .array((0..<count).map { _ in random(depth: depth - 1, using: &generator) })
    default:
      var object = JSONObject()
      for _ in 0..<Int.random(in: 0..<20, using: &generator) {
        object[randomString(using: &generator)] = random(depth: depth - 1, using: &generator)
      }
      return .object(object)
    }
  }

  private static func randomString(using generator: inout SeededGenerator) -> String {
    var text = String.UnicodeScalarView()
    for _ in 0..<Int.random(in: 0..<8, using: &generator) {
      let bits = Int.random(in: 5...20, using: &generator)
      let value = UInt32.random(in: 0..<(1 << bits), using: &generator)
      text.append(Unicode.Scalar(value) ?? "?")
    }
    return String(text)
  }
}
