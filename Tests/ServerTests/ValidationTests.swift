import JSON
import Testing

@testable import Generation
@testable import Server

/// A field of a route's body, and a body that is right but for it.
struct FieldCase: Sendable, CustomStringConvertible {
  static let inputFile = "file-" + String(repeating: "0a", count: 16)

  let route: Route
  let field: Field

  var description: String { "\(route.template) \(field.name)" }

  static let all: [FieldCase] = Route.allCases.flatMap { route in
    (route.requestSchema?.fields ?? []).map { FieldCase(route: route, field: $0) }
  }

  static func body(_ route: Route) -> JSONObject {
    switch route {
    case .completions: ["prompt": "Once upon a time", "max_tokens": 2]
    case .chatCompletions: ["messages": [["role": "user", "content": "Hello"]], "max_tokens": 2]
    case .tokenize: ["prompt": "Hello"]
    case .detokenize: ["tokens": [5, 6]]
    case .embeddings: ["input": "Hello"]
    case .batches:
      [
        "input_file_id": .string(inputFile), "endpoint": "/v1/completions", "completion_window": "24h",
      ]
    case .loadAdapter: ["lora_name": "poet", "lora_path": "/adapters/poet", "load_inplace": true]
    case .unloadAdapter: ["lora_name": "poet"]
    default: [:]
    }
  }

  func body(with value: JSONValue) -> JSONValue {
    var body = Self.body(route)
    body[field.name] = value
    return .object(body)
  }

  /// Values of every other type.
  var wrongTypes: [JSONValue] {
    let values: [JSONValue] = [true, 1, 1.5, "text", ["text"], [1], [[1]], ["key": "value"]]
    return values.filter { !Self.accepts(field.type, $0) }
  }

  private static func accepts(_ type: FieldType, _ value: JSONValue) -> Bool {
    switch (type, value) {
    case (.any, _), (.boolean, .bool), (.number, .integer), (.number, .double), (.integer, .integer),
      (.string, .string), (.map, .object), (.object, .object):
      true
    case (.array(let element, _), .array(let items)): items.allSatisfy { accepts(element, $0) }
    case (.either(let types), _): types.contains { accepts($0, value) }
    default: false
    }
  }
}

@Suite("Request validation")
struct ValidationTests {
  @Test("A value of a wrong type is refused with the field's path", arguments: FieldCase.all)
  func wrongTypes(_ test: FieldCase) throws {
    let state = try TemporaryState()
    let api = try TestAPI(state: state.state)
    for value in test.wrongTypes {
      let answer = try api.post(test.route.template, test.body(with: value))
      #expect(answer.status == 400, "\(value)")
      let parameter = answer.json["error"]?["param"]?.string ?? ""
      #expect(parameter.hasPrefix("body.\(test.field.name)"), "\(value): \(answer.text)")
      #expect(answer.errorMessage.contains("expected"), "\(answer.errorMessage)")
      #expect(answer.json["error"]?["type"] == "Bad Request")
    }
  }

  @Test("A null is the same as leaving the field out, but for required fields", arguments: FieldCase.all)
  func nulls(_ test: FieldCase) throws {
    let state = try TemporaryState()
    let api = try TestAPI(
      state: state.state,
      adapters: try FakeAdapters().names(with: test.route == .unloadAdapter ? ["poet"] : []))
    _ = try state.addInput(id: FieldCase.inputFile)
    let answer = try api.post(test.route.template, test.body(with: .null))
    if test.field.isRequired {
      #expect(answer.status == 400)
      #expect(answer.json["error"]?["param"]?.string?.hasSuffix(test.field.name) == true)
    } else if test.route == .tokenize, test.field.name == "prompt" {
      #expect(answer.status == 400)
    } else {
      #expect(answer.status == 200, "\(answer.text)")
    }
  }

  struct Bound: Sendable, CustomStringConvertible {
    let field: String
    let value: JSONValue
    let isValid: Bool

    init(_ field: String, _ value: JSONValue, _ isValid: Bool) {
      self.field = field
      self.value = value
      self.isValid = isValid
    }

    var description: String { "\(field)=\(value.serialized()) \(isValid ? "passes" : "fails")" }
  }

  static let shared: [Bound] = [
    Bound("temperature", 0, true), Bound("temperature", 2, true), Bound("temperature", 2.01, false),
    Bound("temperature", -0.01, false), Bound("top_p", 0, false), Bound("top_p", 0.0001, true),
    Bound("top_p", 1, true), Bound("top_p", 1.1, false), Bound("top_k", -2, false), Bound("top_k", -1, true),
    Bound("top_k", 0, true), Bound("top_k", 5.0, true), Bound("min_p", -0.1, false), Bound("min_p", 1, true),
    Bound("min_p", 1.1, false), Bound("repetition_penalty", 0, false), Bound("repetition_penalty", 0.1, true),
    Bound("repetition_penalty", 1e300, false), Bound("presence_penalty", -2, true),
    Bound("presence_penalty", 2.5, false), Bound("frequency_penalty", 2, true),
    Bound("frequency_penalty", -2.5, false), Bound("n", 0, false), Bound("n", 1, true),
    Bound("n", 16_385, false),
    Bound("seed", -1, true), Bound("seed", 1e30, false), Bound("logit_bias", ["5": 1000], true),
    Bound("logit_bias", ["x": 1], false), Bound("logit_bias", ["4096": 1], false),
    Bound("logit_bias", ["-1": 1], false),
    Bound("stop", "", false), Bound("stop", ["a", "b", "c", "d"], true),
    Bound("stop", ["a", "b", "c", "d", "e"], false),
    Bound("stop", ["a", ""], false), Bound("stop", [], true), Bound("stop_token_ids", [4095], true),
    Bound("stop_token_ids", [4096], false), Bound("stop_token_ids", [-1], false),
    Bound("min_tokens", -1, false),
    Bound("min_tokens", 2, true), Bound("min_tokens", 3, false), Bound("bad_words", [""], false),
    Bound("bad_words", ["word"], true), Bound("bad_words", .array(Array(repeating: "w", count: 129)), false),
    Bound("allowed_token_ids", [], false), Bound("allowed_token_ids", [4096], false),
    Bound("allowed_token_ids", [7], true), Bound("truncate_prompt_tokens", -2, false),
    Bound("truncate_prompt_tokens", -1, true), Bound("truncate_prompt_tokens", 513, false),
    Bound("truncate_prompt_tokens", 0, false), Bound("prompt_logprobs", 20, true),
    Bound("prompt_logprobs", 21, false),
    Bound("prompt_logprobs", -1, false), Bound("priority", 1, false), Bound("priority", 0, true),
    Bound("cache_salt", "", false), Bound("cache_salt", "s", true), Bound("max_tokens", -1, false),
    Bound("max_tokens", 0, false), Bound("max_tokens", 1, true), Bound("max_tokens", 1_000_000, false),
    Bound("max_tokens", .integer(.max), false), Bound("stream_options", ["include_usage": true], false),
    Bound("response_format", ["type": "text"], true),
    Bound("response_format", ["type": "json_object"], true),
    Bound("response_format", ["type": "json"], false),
    Bound("response_format", ["type": "json_schema"], false), Bound("response_format", [:], false),
    Bound("response_format", ["type": "json_schema", "json_schema": ["name": "n"]], false),
    Bound("response_format", ["type": "json_schema", "json_schema": ["name": "n", "schema": [:]]], true),
    Bound("response_format", ["type": "structural_tag"], false),
    Bound("response_format", ["type": "text", "json_schema": nil], true),
    Bound("response_format", "text", false),
    Bound("structured_outputs", ["regex": "a"], true), Bound("structured_outputs", ["regex": "("], false),
    Bound("structured_outputs", ["regex": "a", "choice": ["b"]], false),
    Bound("structured_outputs", [:], false),
    Bound("structured_outputs", ["choice": ["a", "b"]], true),
    Bound("structured_outputs", ["choice": []], false),
    Bound("structured_outputs", ["grammar": "root ::= \"a\""], true),
    Bound("structured_outputs", ["grammar": "root ::= root"], false),
    Bound("structured_outputs", ["json_object": true], true),
    Bound("structured_outputs", ["json_object": false], false),
    Bound("structured_outputs", ["json": ["type": "integer"]], true),
    Bound("structured_outputs", ["json": "{\"type\": \"integer\"}"], true),
    Bound("structured_outputs", ["json": "{"], false),
    Bound("structured_outputs", ["json": ["type": "intger"]], false),
    Bound("structured_outputs", ["json": [:], "whitespace_pattern": " ?"], true),
    Bound("structured_outputs", ["json": [:], "whitespace_pattern": "x"], false),
    Bound("structured_outputs", ["json": [:], "disable_any_whitespace": true], true),
    Bound("guided_json", ["type": "object"], false), Bound("guided_regex", nil, true),
    Bound("use_beam_search", true, false),
    Bound("use_beam_search", false, true), Bound("unknown_field", ["anything": [1, nil]], true),
    Bound("model", "demo", true), Bound("model", "alias/of-demo", true),
  ]

  @Test("Bounds of the shared fields hold in completions and in chat", arguments: shared)
  func sharedBounds(_ bound: Bound) throws {
    let api = try TestAPI()
    for route in [Route.completions, .chatCompletions] {
      var body = FieldCase.body(route)
      body[bound.field] = bound.value
      let answer = try api.post(route.template, .object(body))
      #expect(answer.status == (bound.isValid ? 200 : 400), "\(route.template): \(answer.text)")
      if !bound.isValid {
        let parameter = answer.json["error"]?["param"]?.string ?? ""
        // Of what has the wrong shape, the path is told.
        #expect(
          parameter == bound.field || parameter.hasPrefix("\(bound.field).")
            || parameter.hasPrefix("body.\(bound.field)")
            || ["prompt", "input_tokens"].contains(parameter), "\(answer.text)")
      }
    }
  }

  static let completion: [Bound] = [
    Bound("prompt", "", false), Bound("prompt", [], false), Bound("prompt", [[]], false),
    Bound("prompt", [4096], false),
    Bound("prompt", [-1], false), Bound("prompt", [[5], [4096]], false), Bound("prompt", ["a", 5], false),
    Bound("prompt", [5, "a"], false), Bound("prompt", [5, 6], true), Bound("prompt", [[5], [6]], true),
    Bound("prompt", .array(Array(repeating: "a", count: 1025)), false), Bound("logprobs", 0, true),
    Bound("logprobs", 20, true), Bound("logprobs", 21, false), Bound("logprobs", -1, false),
    Bound("suffix", "x", false),
    Bound("prompt_embeds", "x", false), Bound("echo", true, true), Bound("prompt", [1e30], false),
    Bound("prompt", .array(Array(repeating: 5, count: 510)), true),
    Bound("prompt", .array(Array(repeating: 5, count: 511)), false),
  ]

  @Test("Bounds of the completion fields", arguments: completion)
  func completionBounds(_ bound: Bound) throws {
    let api = try TestAPI()
    var body = FieldCase.body(.completions)
    body[bound.field] = bound.value
    let answer = try api.post("/v1/completions", .object(body))
    #expect(answer.status == (bound.isValid ? 200 : 400), "\(answer.text)")
  }

  static let chat: [Bound] = [
    Bound("messages", [], false), Bound("messages", [["content": "x"]], false),
    Bound("messages", [["role": "user"]], true),
    Bound("messages", [["role": "wizard", "content": "x"]], true),
    Bound("messages", [["role": "user", "content": [["type": "text", "text": "a"]]]], true),
    Bound("messages", [["role": "user", "content": [["type": "text"]]]], false),
    Bound(
      "messages", [["role": "user", "content": [["type": "image_url", "image_url": ["url": "x"]]]]], false),
    Bound("messages", [["role": "user", "content": 5]], false), Bound("top_logprobs", 1, false),
    Bound("max_completion_tokens", 0, false), Bound("max_completion_tokens", 5, true),
    Bound("tools", [], false),
    Bound("tool_choice", "auto", false), Bound("tool_choice", "none", true),
    Bound("tool_choice", "maybe", false),
    Bound("continue_final_message", true, false), Bound("chat_template", "{{ x }}", false),
    Bound("reasoning_effort", "low", true), Bound("reasoning_effort", "huge", false),
    Bound(
      "messages",
      [["role": "assistant", "tool_calls": [["function": ["name": "f", "arguments": "{\"a\": 1}"]]]]], true),
    Bound(
      "messages", [["role": "assistant", "tool_calls": [["function": ["name": "f", "arguments": "{"]]]]],
      false),
    Bound(
      "messages", [["role": "assistant", "tool_calls": [["function": ["name": "f", "arguments": "[]"]]]]],
      false),
  ]

  @Test("Choices are bounded over all prompts")
  func choicesOfAllPrompts() throws {
    let api = try TestAPI(script: { _ throws(SubmissionError) in throw .draining })
    let prompts = JSONValue.array(Array(repeating: [5], count: 1024))
    #expect(try api.post("/v1/completions", ["prompt": prompts, "n": 17]).json["error"]?["param"] == "n")
    // Sixteen would be taken, and this engine refuses them.
    #expect(try api.post("/v1/completions", ["prompt": prompts, "n": 16]).status == 503)
  }

  @Test("Bounds of the chat fields", arguments: chat)
  func chatBounds(_ bound: Bound) throws {
    let api = try TestAPI()
    var body = FieldCase.body(.chatCompletions)
    body[bound.field] = bound.value
    let answer = try api.post("/v1/chat/completions", .object(body))
    #expect(answer.status == (bound.isValid ? 200 : 400), "\(answer.text)")
  }

  @Test(
    "Messages clients know are worded as they know them",
    arguments: [
      (
        "/v1/completions", #"{"prompt":""}"#, "Either prompt or prompt_embeds must be provided and non-empty."
      ),
      ("/v1/completions", #"{}"#, "Either prompt or prompt_embeds must be provided and non-empty."),
      (
        "/v1/completions", #"{"prompt":"a","stream_options":{}}"#,
        "Stream options can only be defined when `stream=True`."
      ),
      (
        "/v1/completions", #"{"prompt":"a","stream":true,"prompt_logprobs":1}"#,
        "`prompt_logprobs` are not available when `stream=True`."
      ),
      (
        "/v1/completions", #"{"prompt":"a","temperature":3}"#,
        "temperature must be in [0, 2], got 3. (parameter=temperature, value=3)"
      ),
      (
        "/v1/completions", #"{"prompt":"a","n":2,"temperature":0}"#,
        "n must be 1 when using greedy sampling, got 2. (parameter=n, value=2)"
      ),
      (
        "/v1/completions", #"{"prompt":[5,6],"max_tokens":511}"#,
        "This model's maximum context length is 512 tokens. However, you requested 511 output tokens and your prompt "
          + "contains at least 2 input tokens, for a total of at least 513 tokens. Please reduce the length of the "
          + "input prompt or the number of requested output tokens. (parameter=input_tokens, value=2)"
      ),
      (
        "/v1/chat/completions", #"{"messages":[{"role":"user","content":"a"}],"top_logprobs":2}"#,
        "when using `top_logprobs`, `logprobs` must be set to true."
      ),
      (
        "/v1/chat/completions", #"{"messages":[{"role":"user","content":"a"}],"tool_choice":"auto"}"#,
        "When using `tool_choice`, `tools` must be set."
      ),
    ])
  func messages(path: String, body: String, message: String) throws {
    let answer = try TestAPI().ask("POST", path, body: Array(body.utf8))
    #expect(answer.status == 400)
    #expect(answer.errorMessage == message)
  }

  @Test("What is no JSON object is refused", arguments: World.allCases)
  func badBodies(_ world: World) throws {
    let api = try TestAPI(world)
    let bodies: [[UInt8]] = [
      Array("[]".utf8), Array("1".utf8), Array("{".utf8), Array("".utf8), Array(#"{"prompt":"\#u{0}"}"#.utf8),
      Array(#"{"prompt":""#.utf8) + [0xFF, 0xFE] + Array(#""}"#.utf8), Array(#"{"prompt":"a"} x"#.utf8),
      Array(#"{"prompt":"a","temperature":NaN}"#.utf8), Array(#"{"prompt":"a","temperature":1e400}"#.utf8),
      Array(repeating: UInt8(ascii: "["), count: 100_000),
      Array(#"{"a":"#.utf8) + Array(repeating: UInt8(ascii: "{"), count: 5000),
    ]
    for body in bodies {
      for route in [Route.completions, .chatCompletions, .tokenize, .detokenize] {
        let answer = try api.ask("POST", route.template, body: body)
        #expect(answer.status == 400)
        #expect(answer.json["error"]?["code"] == 400)
        #expect(!answer.errorMessage.isEmpty)
      }
    }
  }

  @Test("Only JSON is taken", arguments: ["text/plain", "application/x-www-form-urlencoded", nil, ""])
  func contentTypes(type: String?) throws {
    let answer = try TestAPI().ask(
      "POST", "/v1/completions", body: Array(#"{"prompt":"a"}"#.utf8), contentType: type)
    #expect(answer.status == 400)
    #expect(answer.json["error"]?["param"] == "Content-Type")
  }

  @Test("A charset and duplicate keys do no harm")
  func lenience() throws {
    let answer = try TestAPI().ask(
      "POST", "/v1/completions", body: Array(#"{"prompt":"a","max_tokens":"no","max_tokens":1}"#.utf8),
      contentType: "Application/JSON; charset=utf-8")
    #expect(answer.status == 200)
    #expect(answer.json["usage"]?["completion_tokens"] == 1)
  }

  @Test("An unknown model is not found; absent and null are the served one")
  func models() throws {
    let api = try TestAPI()
    for route in [Route.completions, .chatCompletions, .tokenize, .detokenize] {
      var body = FieldCase.body(route)
      body["model"] = "other"
      let answer = try api.post(route.template, .object(body))
      #expect(answer.status == 404)
      #expect(answer.errorMessage == "The model `other` does not exist.")
      #expect(answer.json["error"]?["param"] == "model")
      #expect(answer.json["error"]?["type"] == "NotFoundError")
      body["model"] = .null
      #expect(try api.post(route.template, .object(body)).status == 200)
    }
  }

  @Test("Error texts stay short however large the request")
  func shortErrors() throws {
    let long = String(repeating: "x", count: 1_000_000)
    let api = try TestAPI()
    let bodies: [JSONValue] = [
      ["prompt": "a", "temperature": .string(long)], ["prompt": "a", "model": .string(long)],
      ["prompt": "a", "logit_bias": .object([long: "x"])],
      ["prompt": "a", "reasoning_effort": .string(long)],
      ["prompt": "a", "seed": .string(long)], ["prompt": "a", "truncation_side": .string(long)],
      ["prompt": "a", "response_format": .string(long)],
      ["prompt": "a", "structured_outputs": ["json": ["properties": .object([long: ["type": "x"]])]]],
      ["prompt": "a", "structured_outputs": ["grammar": .string(long)]],
    ]
    for body in bodies {
      let answer = try api.post("/v1/completions", body)
      #expect(answer.text.utf8.count < 1000)
    }
  }
}
