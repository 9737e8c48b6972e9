import JSON
import TestSupport
import Testing

@testable import Grammars

@Suite("JSON schemas")
struct SchemaTests {
  /// - Parameter schema: with `@` for `#`, which would end a raw string behind a quote.
  static func automaton(_ schema: String, _ whitespace: JSONWhitespace = .flexible) throws -> GrammarAutomaton
  {
    try GrammarAutomaton(.jsonSchema(try JSONValue.parse(schema.replacing("@", with: "#")), whitespace))
  }

  static func accepts(_ automaton: GrammarAutomaton, _ text: String) throws -> Bool {
    var lazy = LazyAutomaton(automaton)
    var state = lazy.start
    for byte in text.utf8 { state = try lazy.next(state, byte) }
    return lazy.isAccepting[Int(state)]
  }

  struct Case: Sendable, CustomStringConvertible {
    var schema: String
    var inside: [String]
    var outside: [String]

    init(_ schema: String, _ inside: [String], _ outside: [String]) {
      (self.schema, self.inside, self.outside) = (schema, inside, outside)
    }

    var description: String { schema }
  }

  static let cases: [Case] = [
    Case(#"{"type":"null"}"#, ["null"], ["nul", "0", ""]),
    Case(#"{"type":"boolean"}"#, ["true", "false"], ["True", "1"]),
    Case(#"{"type":"integer"}"#, ["0", "-7", "123456789012345678"], ["01", "1.0", "-", "1e3", "+1"]),
    Case(#"{"type":"number"}"#, ["0", "-7.25", "1e3", "2.5E-10"], ["01", "1.", ".5", "1e", "1e400"]),
    Case(
      #"{"type":"integer","minimum":-5,"maximum":120}"#, ["-5", "0", "9", "99", "120"],
      ["-6", "121", "-10", "1000"]),
    Case(
      #"{"type":"integer","exclusiveMinimum":0,"exclusiveMaximum":10}"#, ["1", "9"], ["0", "10", "-1", "-0"]),
    Case(#"{"type":"integer","minimum":2.5,"maximum":9.5}"#, ["3", "9"], ["2", "10"]),
    Case(
      #"{"type":"integer","minimum":1000000,"maximum":1000009}"#, ["1000000", "1000009"],
      ["999999", "1000010"]),
    Case(
      #"{"type":"integer","multipleOf":7,"minimum":10,"maximum":40}"#, ["14", "21", "35"], ["7", "15", "42"]),
    Case(
      #"{"type":"number","minimum":0.25,"maximum":1.5}"#, ["0.25", "0.3", "1", "1.5", "1.49999", "0.250"],
      ["0.2", "0.249999", "1.51", "2", "-0.3", "0.2", "1.500001", "15"]),
    Case(
      #"{"type":"number","exclusiveMinimum":-1.5,"maximum":0}"#, ["-1.49", "-1", "0", "-0", "-0.5", "-1.4"],
      ["-1.5", "-1.50", "-2", "0.1", "1"]),
    Case(#"{"type":"number","exclusiveMinimum":0}"#, ["0.000001", "7", "0.5"], ["0", "0.0", "-1", "0.000"]),
    Case(#"{"type":"number","exclusiveMaximum":0}"#, ["-0.5", "-12"], ["0", "-0", "-0.0", "3"]),
    Case(
      #"{"type":"string"}"#, [#""""#, #""é🙂\n\u00e9\ud83d\ude00\"""#, "\"\u{7F}\""],
      [#""a"#, "\"\n\"", #""\x""#, #""\ud83d""#, #""\ude00""#, "a"]),
    Case(
      #"{"type":"string","minLength":2,"maxLength":3}"#, [#""ab""#, #""é🙂\n""#, #""\ud83d\ude00a""#],
      [#""a""#, #""abcd""#, #""\ud83d\ude00""#]),
    Case(
      #"{"type":"string","pattern":"^[a-c]+\"?$"}"#, [#""abc""#, #""a\"""#], [#""d""#, #""""#, #""a"""#]),
    Case(
      #"{"type":"string","pattern":"x","maxLength":3}"#, [#""x""#, #""axb""#, #""\nx""#],
      [#""abc""#, #""axbc""#]),
    Case(#"{"type":"string","format":"date"}"#, [#""2026-11-25""#], [#""2026-02-30""#, #""2026-13-01""#]),
    Case(#"{"type":"string","format":"ipv4"}"#, [#""192.168.0.1""#], [#""256.1.1.1""#, #""1.1.1""#]),
    Case(#"{"enum":["a",1,null,{"k":[true]}]}"#, [#""a""#, "1", "null", #"{"k":[true]}"#], ["2", "true"]),
    Case(#"{"type":"string","enum":["a",1,"abc"],"minLength":2}"#, [#""abc""#], ["1", #""a""#]),
    Case(#"{"const":{"a":"é\n"}}"#, [#"{"a":"é\n"}"#], [#"{"a":"e"}"#]),
    Case(
      #"{"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":3}"#,
      ["[1]", "[1,2, 3]", "[\n  1\n]"],
      ["[]", "[1,2,3,4]", "[1,]", "[ 1,  2]"]),
    Case(#"{"type":"array","items":false}"#, ["[]", "[ ]"], ["[1]"]),
    Case(
      #"{"type":"array","prefixItems":[{"type":"integer"},{"type":"boolean"}],"items":{"type":"null"}}"#,
      ["[]", "[1]", "[1,true]", "[1,true,null,null]"], ["[true]", "[1,2]", "[1,true,1]"]),
    Case(#"{"type":"array","prefixItems":[{"type":"integer"}]}"#, ["[]", "[1]"], ["[1,2]"]),
    Case(
      #"{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"boolean"},"c":{"const":1}},"required":["b"]}"#,
      [#"{"a":1,"b":true}"#, #"{"b":false}"#, "{\n  \"a\": 1,\n  \"b\": true,\n  \"c\": 1\n}"],
      ["{}", #"{"a":1}"#, #"{"b":true,"a":1}"#, #"{"b":true,"d":1}"#, #"{"a":1 ,"b":true}"#, #"{,"b":true}"#]),
    Case(
      #"{"type":"object","properties":{"a":{}},"additionalProperties":{"type":"integer"}}"#,
      ["{}", #"{"a":[]}"#, #"{"a":null,"b":1,"ab":2}"#, #"{"":1}"#],
      [#"{"b":null}"#, #"{"b":1,"a":1}"#, #"{"\u0061":1}"#]),
    Case(
      #"{"type":"object","patternProperties":{"^x":{"type":"integer"},"^y":{"type":"null"}},"additionalProperties":false}"#,
      ["{}", #"{"x1":1,"y":null}"#], [#"{"x":null}"#, #"{"z":1}"#]),
    Case(
      #"{"type":"object","properties":{"a":{},"b":{},"c":{}},"minProperties":2,"maxProperties":2}"#,
      [#"{"a":1,"b":2}"#, #"{"b":1,"c":2}"#], ["{}", #"{"a":1}"#, #"{"a":1,"b":2,"c":3}"#]),
    Case(#"{"type":"object","minProperties":1}"#, [#"{"a":1}"#, #"{"a":1,"b":{}}"#], ["{}"]),
    Case(
      #"{"type":"object","propertyNames":{"maxLength":2},"additionalProperties":{"type":"null"}}"#,
      ["{}", #"{"ab":null}"#], [#"{"abc":null}"#]),
    Case(
      #"{"anyOf":[{"type":"string","maxLength":1},{"type":"integer"},{"type":"array","items":{"$ref":"@"}}]}"#,
      ["1", #""a""#, #"[1,["b",[]]]"#], ["null", "[null]"]),
    Case(
      #"{"allOf":[{"properties":{"a":{"minimum":3}},"required":["a"]},{"properties":{"a":{"type":"integer","maximum":5}}}]}"#,
      [#"{"a":4}"#, "1", "[]"], [#"{"a":2}"#, #"{"a":6}"#, "{}", #"{"a":3.5}"#]),
    Case(
      #"{"type":"object","properties":{"a":{"type":"integer"}},"anyOf":[{"required":["a"]},{"properties":{"b":{"const":1}},"required":["b"]}]}"#,
      [#"{"a":1}"#, #"{"a":1,"b":1}"#, #"{"b":1}"#], ["{}"]),
    Case(
      #"{"oneOf":[{"type":"object","properties":{"k":{"const":"a"},"v":{"type":"integer"}},"required":["k"]},{"type":"object","properties":{"k":{"const":"b"},"v":{"type":"string"}},"required":["k"]}]}"#,
      [#"{"k":"a","v":1}"#, #"{"k":"b","v":"x"}"#], [#"{"k":"a","v":"x"}"#, "{}"]),
    Case(
      #"{"$defs":{"n":{"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"@/$defs/n"},{"type":"null"}]}},"required":["v","next"]}},"$ref":"@/$defs/n"}"#,
      [#"{"v":1,"next":{"v":2,"next":null}}"#], [#"{"v":1}"#, #"{"v":1,"next":1}"#]),
    Case(#"{"$ref":"@/definitions/a~1b%20c","definitions":{"a/b c":{"const":1}}}"#, ["1"], ["2"]),
    Case("true", ["1", #"{"a":[null,{"b":"c"}]}"#, "[]"], ["", "{"]),
    Case(#"{"type":["integer","null"]}"#, ["1", "null"], ["true"]),
    Case(#"{"properties":{"a":{"type":"string"},"b":false}}"#, [#"{"a":""}"#, "1"], [#"{"b":1}"#]),
  ]

  @Test("say which texts can come", arguments: cases)
  func languages(_ testCase: Case) throws {
    let automaton = try Self.automaton(testCase.schema)
    for text in testCase.inside { #expect(try Self.accepts(automaton, text), "\(text)") }
    for text in testCase.outside { #expect(try !Self.accepts(automaton, text), "\(text)") }
  }

  @Test("White space is as asked")
  func whitespace() throws {
    let schema = #"{"type":"object","properties":{"a":{"type":"array","items":{"type":"integer"}}}}"#
    let compact = try Self.automaton(schema, .none)
    #expect(try Self.accepts(compact, #"{"a":[1,2]}"#))
    #expect(try !Self.accepts(compact, #"{"a": [1,2]}"#))
    let spaced = try Self.automaton(schema, .pattern(" "))
    #expect(try Self.accepts(spaced, #"{ "a": [ 1, 2 ] }"#))
    #expect(try !Self.accepts(spaced, #"{"a":[1,2]}"#))
  }

  @Test(
    "that can't be kept, or make no sense, are refused with the place",
    arguments: [
      (#"{"type":"intger"}"#, "#/type"), (#"{"properties":{"a":{"not":{}}}}"#, "#/properties/a/not"),
      (#"{"type":"array","uniqueItems":true}"#, "#/uniqueItems"), (#"{"if":{}}"#, "#/if"),
      (#"{"type":"string","pattern":"(?=a)"}"#, "#/pattern"), (#"{"$ref":"@/$defs/x"}"#, "#/$ref"),
      (#"{"$ref":"http://example.com/s"}"#, "#/$ref"), (#"{"$ref":"@"}"#, "#"),
      (#"{"anyOf":[{"$ref":"@"}]}"#, "#/anyOf/0/$ref"), (#"{"enum":3}"#, "#/enum"), ("3", "#"),
      (#"{"minLength":-1}"#, "#/minLength"), (#"{"multipleOf":0.1}"#, "#/multipleOf"),
      (#"{"type":"integer","minimum":3,"maximum":2}"#, "#"),
      (#"{"type":"string","minLength":3,"maxLength":2}"#, "#"),
      (#"{"type":"string","pattern":"^a$","minLength":2}"#, "#/pattern"), ("false", "#"),
      (#"{"allOf":[{"type":"string"},{"type":"integer"}]}"#, "#"), (#"{"enum":[]}"#, "#"),
      (#"{"type":"object","required":["a"],"properties":{"a":false}}"#, "#/properties/a"),
      (#"{"type":"object","properties":{"a":{"$ref":"@"}},"required":["a"]}"#, "#"),
      (#"{"oneOf":[{"type":"integer"},{"type":"number"}]}"#, "#/oneOf/1"),
      (#"{"type":"string","maxLength":100000000}"#, "#/maxLength"),
      (#"{"type":"array","items":{},"minItems":100000000}"#, "#/minItems"),
      (#"{"type":"object","minProperties":3}"#, "#/minProperties"), (#"{"anyOf":[]}"#, "#/anyOf"),
      (#"{"type":"object","additionalProperties":{"$ref":"@/q"}}"#, "#/additionalProperties/$ref"),
    ])
  func refusals(schema: String, path: String) {
    let error = #expect(throws: GrammarError.self) { try Self.automaton(schema) }
    switch error {
    case .schema(path, _), .unsupported(path, _), .unsatisfiable(path, _), .tooLarge(path, _),
      .regex(path, _, _):
      break
    default: Issue.record("\(schema): \(String(describing: error))")
    }
  }

  @Test("that explode are refused in bounded time and memory")
  func explosions() {
    let branches = (0..<12).map { #"{"anyOf":[{"minimum":\#($0)},{"maximum":\#($0)}]}"# }.joined(
      separator: ",")
    let nested = (0..<8).reduce(#"{"type":"integer"}"#) { inner, _ in
      #"{"type":"array","minItems":900,"maxItems":1000,"items":\#(inner)}"#
    }
    let deep = String(repeating: #"{"items":"#, count: 300) + "{}" + String(repeating: "}", count: 300)
    let chain = (0..<400).map { #""d\#($0)":{"$ref":"@/$defs/d\#($0 + 1)"}"# }.joined(separator: ",")
    for schema in [
      #"{"allOf":[\#(branches)]}"#, #"{"$defs":{\#(chain),"d400":{}},"allOf":[{"$ref":"@/$defs/d0"}]}"#,
      #"{"type":"string","pattern":"(a|b)*a(a|b){60}"}"#,
      #"{"type":"string","pattern":"a{1,900}","minLength":800,"format":"uri"}"#,
    ] {
      #expect(throws: GrammarError.self) { try Self.automaton(schema) }
    }
    // Large, but in bounds.
    #expect(throws: Never.self) { try Self.automaton(nested) }
    #expect(throws: Never.self) { try Self.automaton(deep) }
  }

  @Test("Masks inside strings are what following each token says")
  func stringMasks() throws {
    let schemas = [
      #"{"type":"array","items":{"type":"string"}}"#, #"{"type":"string","minLength":2,"maxLength":4}"#,
      #"{"anyOf":[{"type":"string","maxLength":2},{"type":"string","pattern":"^ab*c*é"},{"enum":["abcabc","a\"b"]}]}"#,
      #"{"type":"object","additionalProperties":{"type":"integer"},"properties":{"ab":{"type":"string"}}}"#,
      "{}",
    ]
    for (index, schema) in schemas.enumerated() {
      try MaskTests.compare(
        try Self.automaton(schema),
        ["a", "b", "c", "\"", "\\", "é", "🙂", "\",", "{", "}", "[", "]", ":", ",", " ", "1", "n"],
        seed: UInt64(40 + index))
    }
  }

  /// What random walks generate parses, and is admitted by a reading of the schema that knows no automaton.
  @Test("Whatever is generated satisfies its schema")
  func generated() throws {
    var generator = SeededGenerator(seed: 77)
    var finished = 0
    for round in 0..<120 {
      let schema = RandomSchema.make(3, &generator)
      let text = schema.serialized()
      let automaton: GrammarAutomaton
      do {
        automaton = try GrammarAutomaton(.jsonSchema(schema, .flexible))
      } catch {
        Issue.record("\(text): \(error)")
        continue
      }
      let (vocabulary, tokens) = MaskTests.vocabulary(
        ["a", "b", "\"", "é", "1", "5", "{", "}", "[", "]", ",", ":", "null", "true", "k0", "k1"],
        seed: UInt64(round))
      let grammar = TokenGrammar(automaton, vocabulary: vocabulary)
      var matcher = grammar.matcher()
      try matcher.begin()
      var bytes: [UInt8] = []
      var words = [UInt32](repeating: 0, count: matcher.wordCount)
      for _ in 0..<2000 where !matcher.isComplete {
        if matcher.isAccepting, Int.random(in: 0..<4, using: &generator) == 0 { break }
        try matcher.mask(into: &words)
        let allowed = tokens.indices.filter { words[$0 / 32] >> UInt32($0 % 32) & 1 == 1 }
        let token = try #require(allowed.randomElement(using: &generator), "\(text)")
        #expect(try matcher.advance(Int32(token)))
        bytes += tokens[token]
      }
      guard matcher.isAccepting else { continue }
      finished += 1
      let value = try JSONValue.parse(bytes)
      var reader = SchemaReader(schema, GrammarLimits())
      var isAdmitted = false
      for alternative in try reader.alternatives([LocatedSchema(schema: schema, path: "#")]) {
        if try reader.admits(value, alternative, depth: 0) { isAdmitted = true }
      }
      #expect(isAdmitted, "\(String(decoding: bytes, as: UTF8.self)) for \(text)")
    }
    #expect(finished > 100)
  }
}

/// Schemas whose values are short.
enum RandomSchema {
  static func make(_ depth: Int, _ generator: inout SeededGenerator) -> JSONValue {
    switch Int.random(in: 0..<(depth > 0 ? 11 : 6), using: &generator) {
    case 0: return ["type": "string", "maxLength": .integer(Int64.random(in: 0...6, using: &generator))]
    case 1:
      let low = Int64.random(in: -200...200, using: &generator)
      return [
        "type": "integer", "minimum": .integer(low),
        "maximum": .integer(low + Int64.random(in: 0...300, using: &generator)),
      ]
    case 2:
      return [
        "type": "number", "exclusiveMinimum": -1.5,
        "maximum": .double(Double.random(in: 0...20, using: &generator)),
      ]
    case 3: return ["enum": ["a", 1, nil, ["k": "é\""], [1, 2]]]
    case 4: return ["type": ["boolean", "null"]]
    case 5: return ["type": "string", "pattern": "^[ab]{2}(é|\"|1)?$"]
    case 6, 7:
      return [
        "type": "array", "items": make(depth - 1, &generator),
        "maxItems": .integer(Int64.random(in: 0...3, using: &generator)),
      ]
    case 8: return ["anyOf": [make(depth - 1, &generator), make(depth - 1, &generator)]]
    default:
      var properties: JSONObject = [:]
      var required: [JSONValue] = []
      for index in 0..<Int.random(in: 0...4, using: &generator) {
        properties["k\(index)"] = make(depth - 1, &generator)
        if Bool.random(using: &generator) { required.append(.string("k\(index)")) }
      }
      var schema: JSONObject = [
        "type": "object", "properties": .object(properties), "required": .array(required),
      ]
      schema["additionalProperties"] = false
      return .object(schema)
    }
  }
}
