import JSON
import Testing
import Tokenizers

@testable import Generation
@testable import Server

@Suite("Information routes")
struct InformationTests {
  @Test("Models are listed under every served name, and found by it", arguments: World.allCases)
  func models(_ world: World) throws {
    let api = try TestAPI(world)
    let list = try api.get("/v1/models").json
    #expect(list["object"] == "list")
    #expect(list["data"]?.array?.compactMap { $0["id"]?.string } == ["demo", "alias/of-demo"])
    for path in ["/v1/models/demo", "/v1/models/alias/of-demo", "/v1/models/alias%2Fof-demo"] {
      if world == .router, path.contains("%") { continue }
      let card = try api.get(path)
      #expect(card.status == 200)
      #expect(card.json["object"] == "model")
      #expect(card.json["max_model_len"] == 512)
      #expect(card.json["root"] == "Fixtures/demo")
    }
    let missing = try api.get("/v1/models/other")
    #expect(missing.status == 404)
    #expect(missing.errorMessage == "The model `other` does not exist.")
  }

  @Test("Tokens go back and forth", arguments: World.allCases)
  func tokens(_ world: World) throws {
    let api = try TestAPI(world)
    let tokenizer = try TestAPI.demoTokenizer()
    let text = "Once upon a time, naïve 🙂"
    let answer = try api.post("/tokenize", ["prompt": .string(text), "return_token_strs": true]).json
    let ids = try tokenizer.encode(text)
    #expect(answer["tokens"]?.ints == ids.map { Int($0) })
    #expect(answer["count"]?.int == ids.count)
    #expect(answer["max_model_len"] == 512)
    #expect(answer["token_strs"]?.strings == ids.map { tokenizer.token(of: $0) ?? "" })
    let back = try api.post("/detokenize", ["tokens": answer["tokens"] ?? .null]).json
    #expect(back["prompt"]?.string == tokenizer.decode(ids))

    let chat: JSONValue = ["messages": [["role": "user", "content": "Hi"]], "add_generation_prompt": false]
    let rendered = try tokenizer.encode("user: Hi", addSpecialTokens: false)
    let chatAnswer = try api.post("/tokenize", chat).json
    #expect(chatAnswer["tokens"]?.ints == rendered.map { Int($0) })
    #expect(chatAnswer["token_strs"] == .null)
    #expect(try api.post("/tokenize", ["prompt": "a", "messages": [["role": "user"]]]).status == 400)
    #expect(try api.post("/detokenize", ["tokens": [4096]]).status == 400)
    #expect(try api.post("/detokenize", ["tokens": []]).json["prompt"] == "")
  }

  @Test("The tokenizer's configuration has what lm-eval looks for")
  func tokenizerInformation() throws {
    let api = try TestAPI()
    let json = try api.get("/tokenizer_info").json
    #expect(json["eos_token"] == "<|end_of_text|>")
    #expect(json["bos_token"] == "<|begin_of_text|>")
    #expect(json["pad_token"] == "<|pad|>")
    #expect(json["tokenizer_class"]?.string != nil)
    let off = try TestAPI(options: with(ServerOptions()) { $0.offersTokenizerInformation = false })
    #expect(try off.get("/tokenizer_info").status == 404)
  }

  @Test("Wrong methods and unknown paths have their own errors", arguments: World.allCases)
  func methods(_ world: World) throws {
    let api = try TestAPI(world)
    for route in Route.allCases {
      let path = route == .model ? "/v1/models/demo" : route.template
      let wrong = try api.ask("PUT", path)
      #expect(wrong.status == 405)
      #expect(wrong.json["error"]?["type"] == "Method Not Allowed")
      #expect(wrong.headers["Allow"]?.contains(route.methods[0]) == true)
      let options = try api.ask("OPTIONS", path)
      #expect(options.status == 204)
      #expect(options.headers["Allow"] == wrong.headers["Allow"])
      if route.methods.contains("GET") {
        #expect(try api.ask("HEAD", path).status == (route.needsState ? 404 : 200))
      }
    }
    for path in ["/", "/v1", "/v1/models/", "/v2/completions", "/v1/completions/x", "/%00", "/../etc"] {
      let answer = try api.ask("GET", path)
      #expect([404, 200].contains(answer.status))
      if answer.status == 404 { #expect(answer.json["error"]?["code"] == 404) }
    }
    #expect(try api.get("/version").json == ["version": "0.1.0"])
    #expect(try api.get("/health").text == "")
  }

  @Test("A balancer that asks for the load gets it in a header")
  func loadReport() throws {
    let api = try TestAPI()
    api.service.setStatistics {
      $0.kvCacheUsage = 0.5
      $0.waitingRequests = 3
    }
    func header(_ format: String?) throws -> String? {
      let headers = format.map { [("endpoint-load-metrics-format", $0)] } ?? []
      return try api.post("/v1/completions", ["prompt": [5]], headers: headers).headers[
        "endpoint-load-metrics"]
    }
    #expect(
      try header("TEXT") == "TEXT named_metrics.kv_cache_usage_perc=0.5, named_metrics.num_requests_waiting=3"
    )
    #expect(
      try header("json") == #"JSON {"named_metrics":{"kv_cache_usage_perc":0.5,"num_requests_waiting":3}}"#)
    #expect(try header("XML") == nil)
    #expect(try header(nil) == nil)
  }

  @Test("Browsers of allowed origins get their headers, others none")
  func cors() throws {
    let api = try TestAPI(options: with(ServerOptions()) { $0.allowedOrigins = ["https://a.example"] })
    let allowed = try api.ask(
      "OPTIONS", "/v1/completions",
      headers: [("Origin", "https://a.example"), ("Access-Control-Request-Headers", "x-one")])
    #expect(allowed.headers["Access-Control-Allow-Origin"] == "https://a.example")
    #expect(allowed.headers["Access-Control-Allow-Headers"] == "x-one")
    #expect(
      try api.get("/health", headers: [("Origin", "https://a.example")]).headers[
        "Access-Control-Allow-Origin"]
        == "https://a.example")
    #expect(
      try api.get("/health", headers: [("Origin", "https://b.example")]).headers[
        "Access-Control-Allow-Origin"]
        == nil)
    let any = try TestAPI(options: with(ServerOptions()) { $0.allowedOrigins = ["*"] })
    #expect(try any.get("/health", headers: [("Origin", "x")]).headers["Access-Control-Allow-Origin"] == "*")
  }

  @Test(
    "A caller's request id becomes part of the answer's, when it is fit for a header",
    arguments: World.allCases)
  func requestIDs(_ world: World) throws {
    let api = try TestAPI(world)
    let answer = try api.post("/v1/completions", ["prompt": [5]], headers: [("X-Request-Id", "abc-1")])
    #expect(answer.json["id"] == "cmpl-abc-1")
    #expect(answer.headers["X-Request-Id"] == "abc-1")
    #expect(api.service.submissions.last?.request.id == "cmpl-abc-1")
    let body = try api.post("/v1/completions", ["prompt": [5], "request_id": "own"])
    #expect(body.json["id"] == "cmpl-own")
    let odd = try api.post("/v1/completions", ["prompt": [5]], headers: [("X-Request-Id", "two words")])
    #expect(odd.headers["X-Request-Id"] == nil)
    #expect(odd.json["id"]?.string?.utf8.count == "cmpl-".utf8.count + 32)
  }
}

@Suite("Metrics")
struct MetricsTests {
  /// A parsed exposition: values by name and labels, and the type of each family.
  struct Exposition {
    var types: [String: String] = [:]
    var samples: [String: Double] = [:]

    /// Checks the text against the format's grammar as it goes.
    init(_ text: String) throws {
      #expect(text.hasSuffix("\n"))
      var current = ""
      for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
        if line.hasPrefix("# HELP ") { continue }
        if line.hasPrefix("# TYPE ") {
          let parts = line.split(separator: " ")
          #expect(parts.count == 4)
          current = String(parts[2])
          #expect(types[current] == nil, "a family must come once: \(current)")
          types[current] = String(parts[3])
          continue
        }
        let pattern = /([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\.)*",?)*\})? (\S+)/
        let match = try #require(try pattern.wholeMatch(in: line), "\(line)")
        #expect(match.1.hasPrefix(current), "a sample must follow its family: \(line)")
        let value = match.3 == "+Inf" ? Double.infinity : try #require(Double(match.3))
        let key = String(match.1) + String(match.2 ?? "")
        #expect(samples[key] == nil, "a sample must come once: \(key)")
        samples[key] = value
      }
    }
  }

  @Test("The text is well formed, and has vLLM's names", arguments: World.allCases)
  func text(_ world: World) throws {
    let api = try TestAPI(world)
    api.service.setStatistics {
      $0.runningRequests = 3
      $0.waitingRequests = 2
      $0.kvCacheUsage = 0.25
      $0.promptTokens = 100
      $0.finishedRequests = ["stop": 7]
      var histogram = Histogram(bounds: [0.1, 1])
      histogram.observe(0.05)
      histogram.observe(5, times: 2)
      $0.histograms["vllm:time_to_first_token_seconds"] = histogram
      $0.histograms["gpuinfer:engine_step_seconds"] = Histogram(bounds: [1])
    }
    _ = try api.post("/v1/completions", ["prompt": [5]])
    _ = try api.post("/v1/completions", ["prompt": [5], "stream": true])
    _ = try api.post("/v1/completions", ["prompt": ""])
    _ = try api.get("/no/such/path")
    let answer = try api.get("/metrics")
    #expect(answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8")
    let metrics = try Exposition(answer.text)
    let labels = #"{model_name="demo",engine="0"}"#
    #expect(metrics.samples["vllm:num_requests_running" + labels] == 3)
    #expect(metrics.samples["vllm:num_requests_waiting" + labels] == 2)
    #expect(metrics.samples["vllm:kv_cache_usage_perc" + labels] == 0.25)
    #expect(metrics.samples["vllm:prompt_tokens_total" + labels] == 100)
    #expect(
      metrics.samples[#"vllm:request_success_total{model_name="demo",engine="0",finished_reason="stop"}"#]
        == 7)
    for (bound, count) in [("0.1", 1.0), ("1.0", 1), ("+Inf", 3)] {
      let name = #"vllm:time_to_first_token_seconds_bucket{model_name="demo",engine="0",le="\#(bound)"}"#
      #expect(metrics.samples[name] == count)
    }
    #expect(metrics.samples["vllm:time_to_first_token_seconds_sum" + labels] == 10.05)
    #expect(metrics.types["vllm:time_to_first_token_seconds"] == "histogram")
    #expect(metrics.types["gpuinfer:engine_step_seconds"] == "histogram")
    #expect(
      metrics.samples[#"http_requests_total{handler="/v1/completions",method="POST",status="2xx"}"#] == 2)
    #expect(
      metrics.samples[#"http_requests_total{handler="/v1/completions",method="POST",status="4xx"}"#] == 1)
    #expect(metrics.samples[#"http_requests_total{handler="none",method="GET",status="4xx"}"#] == 1)
    #expect(
      metrics.samples[#"http_request_duration_seconds_count{handler="/v1/completions",method="POST"}"#] == 3)
  }

  @Test("Label values are escaped")
  func escaping() throws {
    var text = PrometheusText()
    text.family("a", .gauge, "back\\slash and\nline")
    text.sample("a", [("name", "q\"u\\o\nte")], .infinity)
    #expect(
      text.text == "# HELP a back\\\\slash and\\nline\n# TYPE a gauge\na{name=\"q\\\"u\\\\o\\nte\"} +Inf\n")
  }

  @Test("Unknown paths and methods add no label values")
  func boundedLabels() throws {
    let api = try TestAPI()
    for index in 0..<100 { _ = try api.ask("METHOD\(index)", "/path/\(index)") }
    let lines = try api.get("/metrics").text.split(separator: "\n").filter {
      $0.hasPrefix("http_requests_total")
    }
    #expect(lines == [#"http_requests_total{handler="none",method="other",status="4xx"} 100.0"#])
  }
}

@Suite("OpenAPI document")
struct OpenAPITests {
  private let document = OpenAPIDocument.make(version: "1")

  @Test("Every route and method is described")
  func routes() throws {
    for route in Route.allCases {
      let item = try #require(document["paths"]?[route.template])
      for method in route.methods {
        let operation = try #require(item[method.lowercased()])
        let inPath = (operation["parameters"]?.array ?? []).filter { $0["in"] == "path" }
        #expect(inPath.compactMap { $0["name"]?.string } == (route.parameter.map { [String($0.name)] } ?? []))
        #expect(operation["responses"]?["200"] != nil)
        #expect(operation["operationId"]?.string?.isEmpty == false)
      }
    }
    let identifiers = (document["paths"]?.object ?? [:]).flatMap { $0.value.object?.values ?? [] }
      .compactMap { $0["operationId"]?.string }
    #expect(Set(identifiers).count == identifiers.count)
  }

  @Test("Every reference resolves")
  func references() throws {
    var references: Set<String> = []
    func collect(_ value: JSONValue) {
      for (key, member) in value.object ?? [:] {
        if key == "$ref", let text = member.string { references.insert(text) }
        collect(member)
      }
      for element in value.array ?? [] { collect(element) }
    }
    collect(document)
    #expect(!references.isEmpty)
    for reference in references {
      var place: JSONValue? = document
      for key in reference.split(separator: "/").dropFirst() { place = place?[String(key)] }
      #expect(place != nil, "\(reference)")
    }
  }

  @Test("The examples are requests the server answers", arguments: Route.allCases)
  func examples(_ route: Route) throws {
    let api = try TestAPI(adapters: FakeAdapters().names(with: route == .unloadAdapter ? ["poet"] : []))
    for example in route.requestSchema?.examples ?? [] {
      #expect(try api.post(route.template, example).status == 200, "\(example.serialized())")
    }
  }

  /// Checks a value against the parts of JSON Schema that the document uses.
  private func problems(_ value: JSONValue, _ schema: JSONValue, at path: String) -> [String] {
    if let reference = schema["$ref"]?.string {
      var place: JSONValue = document
      for key in reference.split(separator: "/").dropFirst() { place = place[String(key)] ?? .null }
      return problems(value, place, at: path)
    }
    if let alternatives = schema["anyOf"]?.array {
      let all = alternatives.map { problems(value, $0, at: path) }
      return all.contains { $0.isEmpty } ? [] : all.flatMap { $0 }
    }
    if let constant = schema["const"], constant != value { return ["\(path): not \(constant)"] }
    if let values = schema["enum"]?.array, !values.contains(value) {
      return ["\(path): not one of \(values)"]
    }
    let types = schema["type"]?.string.map { [$0] } ?? schema["type"]?.strings ?? []
    let actual: [String] =
      switch value {
      case .null: ["null"]
      case .bool: ["boolean"]
      case .integer: ["integer", "number"]
      case .double: ["number"]
      case .string: ["string"]
      case .array: ["array"]
      case .object: ["object"]
      }
    if !types.isEmpty, Set(types).isDisjoint(with: actual) { return ["\(path): \(value) is not \(types)"] }
    var found: [String] = []
    if let minimum = schema["minimum"]?.double, let number = value.double, number < minimum {
      found.append("\(path): below \(minimum)")
    }
    for name in schema["required"]?.strings ?? [] where value[name] == nil {
      found.append("\(path).\(name): missing")
    }
    for (key, member) in value.object ?? [:] {
      let rest = schema["additionalProperties"].flatMap { $0.object == nil ? nil : $0 }
      if let known = schema["properties"]?[key] ?? rest {
        found += problems(member, known, at: "\(path).\(key)")
      }
    }
    if let items = schema["items"] {
      for (index, element) in (value.array ?? []).enumerated() {
        found += problems(element, items, at: "\(path)[\(index)]")
      }
    }
    return found
  }

  @Test("Answers are as described, errors too")
  func conformance() throws {
    let api = try TestAPI()
    let requests: [(String, String, JSONValue?)] = [
      ("GET", "/v1/models", nil), ("GET", "/version", nil), ("GET", "/load", nil),
      ("GET", "/tokenizer_info", nil),
      ("POST", "/tokenize", ["prompt": "a", "return_token_strs": true]),
      ("POST", "/tokenize", ["prompt": "a"]),
      ("POST", "/detokenize", ["tokens": [5]]), ("POST", "/detokenize", ["tokens": "x"]),
      (
        "POST", "/v1/completions",
        ["prompt": "a", "logprobs": 2, "echo": true, "prompt_logprobs": 1, "seed": 1]
      ),
      ("POST", "/v1/completions", ["prompt": "a", "return_token_ids": true]),
      ("POST", "/v1/completions", ["prompt": ""]),
      ("POST", "/v1/completions", ["prompt": "a", "model": "x"]),
      (
        "POST", "/v1/chat/completions",
        ["messages": [["role": "user", "content": "a"]], "logprobs": true, "top_logprobs": 2]
      ), ("POST", "/v1/chat/completions", ["messages": []]),
    ]
    for (method, path, body) in requests {
      let answer = try api.ask(method, path, body: body.map { Array($0.serialized().utf8) } ?? [])
      let responses = document["paths"]?[path]?[method.lowercased()]?["responses"]
      let schema = try #require(
        responses?["\(answer.status)"]?["content"]?["application/json"]?["schema"], "\(path) \(answer.status)"
      )
      #expect(problems(answer.json, schema, at: path) == [])
    }
    let card = try api.get("/v1/models/demo").json
    #expect(problems(card, ["$ref": "#/components/schemas/ModelCard"], at: "card") == [])
  }
}
