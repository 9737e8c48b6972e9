import JSON
import TestSupport
import Testing

@Suite struct JSONObjectTests {
  /// Small objects are searched, large ones are indexed; both must behave as a list of pairs does.
  @Test(arguments: [0, 1, 5, 12, 13, 14, 40])
  func membersBehaveAsAListOfPairs(distinctKeys: Int) {
    var generator = SeededGenerator(seed: UInt64(distinctKeys))
    var object = JSONObject()
    var pairs: [(key: String, value: JSONValue)] = []
    for step in 0..<300 where distinctKeys > 0 {
      let key = "k\(Int.random(in: 0..<distinctKeys, using: &generator))"
      let place = pairs.firstIndex { $0.key == key }
      if Int.random(in: 0..<4, using: &generator) == 0 {
        object[key] = nil
        if let place { pairs.remove(at: place) }
      } else {
        object[key] = .integer(Int64(step))
        if let place {
          pairs[place].value = .integer(Int64(step))
        } else {
          pairs.append((key, .integer(Int64(step))))
        }
      }
      #expect(object.keys == pairs.map(\.key))
      #expect(object.values == pairs.map(\.value))
    }
    for index in 0..<distinctKeys {
      #expect(object["k\(index)"] == pairs.first { $0.key == "k\(index)" }?.value)
      #expect(object.contains("k\(index)") == pairs.contains { $0.key == "k\(index)" })
    }
    #expect(object["missing"] == nil)
  }

  @Test func orderDoesNotCountForEquality() {
    #expect((["a": 1, "b": 2] as JSONObject) == ["b": 2, "a": 1])
    #expect((["a": 1, "b": 2] as JSONObject) != ["a": 1, "b": 3])
    #expect((["a": 1] as JSONObject) != ["a": 1, "b": nil])
    #expect((["a": 1] as JSONObject) != ["b": 1])
  }

  @Test func accessorsConvertOnlyWhatIsExact() {
    #expect(JSONValue.double(2).int == 2)
    #expect(JSONValue.double(2.5).int == nil)
    #expect(JSONValue.double(1e30).int == nil)
    #expect(JSONValue.integer(2).double == 2)
    #expect(JSONValue.bool(true).int == nil)
    #expect(JSONValue.string("2").int == nil)
    #expect(JSONValue.integer(1) != JSONValue.double(1))
    let value: JSONValue = ["a": [1, "x", nil]]
    #expect(value["a"]?[1]?.string == "x")
    #expect(value["a"]?[2]?.isNull == true)
    #expect(value["a"]?[3] == nil)
    #expect(value["a"]?[-1] == nil)
    #expect(value["a"]?["b"] == nil)
    #expect(value["b"] == nil)
    #expect(value.array == nil)
    #expect(value["a"]?.array?.count == 3)
  }
}
