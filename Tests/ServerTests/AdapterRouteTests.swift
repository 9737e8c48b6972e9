import JSON
import Testing

@testable import Generation
@testable import Server

@Suite("Adapter routes")
struct AdapterRouteTests {
  private func load(_ name: String, _ path: String = "/adapters/a", inPlace: Bool? = nil) -> JSONValue {
    var body: JSONObject = ["lora_name": .string(name), "lora_path": .string(path)]
    if let inPlace { body["load_inplace"] = .bool(inPlace) }
    return .object(body)
  }

  @Test(
    "An adapter is loaded, listed with its parent, used by name, replaced and taken away",
    arguments: World.allCases)
  func life(_ world: World) throws {
    let engine = FakeAdapters()
    let api = try TestAPI(world, adapters: try engine.names())
    let loaded = try api.post("/v1/load_lora_adapter", load("poet"))
    #expect(loaded.status == 200)
    #expect(loaded.text == "Success: LoRA adapter 'poet' added successfully.")
    #expect(loaded.headers["Content-Type"]?.hasPrefix("text/plain") == true)

    let cards = try api.get("/v1/models").json["data"]?.array ?? []
    let card = try #require(cards.first { $0["id"] == "poet" })
    #expect(card["parent"] == "demo")
    #expect(card["root"] == "/adapters/a")
    #expect(cards.first?["parent"] == .null)
    #expect(try api.get("/v1/models/poet").json["parent"] == "demo")

    for route in ["/v1/completions", "/v1/chat/completions"] {
      let body: JSONValue =
        route == "/v1/completions"
        ? ["model": "poet", "prompt": [5]]
        : ["model": "poet", "messages": [["role": "user", "content": "a"]]]
      #expect(try api.post(route, body).json["model"] == "poet")
      #expect(api.service.submissions.last?.request.adapter == 1)
    }
    _ = try api.post("/v1/completions", ["prompt": [5]])
    #expect(api.service.submissions.last?.request.adapter == 0)

    let again = try api.post("/v1/load_lora_adapter", load("poet", "/adapters/b"))
    #expect(again.status == 400)
    #expect(again.errorMessage.contains("'poet' has already been loaded"))
    #expect(engine.loaded == [1: "/adapters/a"])
    #expect(try api.post("/v1/load_lora_adapter", load("poet", "/adapters/b", inPlace: true)).status == 200)
    #expect(engine.loaded == [2: "/adapters/b"])
    #expect(try api.get("/v1/models/poet").json["root"] == "/adapters/b")

    let gone = try api.post("/v1/unload_lora_adapter", ["lora_name": "poet"])
    #expect(gone.text == "Success: LoRA adapter 'poet' removed successfully.")
    #expect(engine.loaded.isEmpty)
    let twice = try api.post("/v1/unload_lora_adapter", ["lora_name": "poet"])
    #expect(twice.status == 404)
    #expect(twice.json["error"]?["type"] == "NotFoundError")
    #expect(try api.post("/v1/completions", ["model": "poet", "prompt": [5]]).status == 404)
  }

  @Test("What cannot be loaded changes nothing and says why")
  func refusals() throws {
    let engine = FakeAdapters()
    let api = try TestAPI(adapters: try engine.names(with: ["one"], limit: 2))
    let path = "/v1/load_lora_adapter"
    #expect(try api.post(path, load("x", "/missing")).status == 404)
    #expect(try api.post(path, load("x", "/broken")).status == 400)
    // A replacement that cannot be read leaves the old one.
    #expect(try api.post(path, load("one", "/broken", inPlace: true)).status == 400)
    #expect(try api.post(path, load("demo")).errorMessage.contains("model itself"))
    for body in [["lora_name": "x"], ["lora_path": "/a"], ["lora_name": "", "lora_path": "/a"], [:]]
      as [JSONValue]
    {
      #expect(try api.post(path, body).status == 400, "\(body.serialized())")
    }
    #expect(engine.loaded == [1: "/adapters/one"])
    #expect(try api.post(path, load("two")).status == 200)
    #expect(try api.post(path, load("three")).errorMessage.contains("--max-cpu-loras"))
    #expect(try api.post(path, load("two", inPlace: true)).status == 200)
    #expect(engine.loaded.count == 2)
  }

  @Test("Without permission the routes are not there; without room for adapters they say so")
  func turnedOff() throws {
    let closed = try TestAPI(options: ServerOptions(), adapters: try FakeAdapters().names())
    let answer = try closed.post("/v1/load_lora_adapter", load("x"))
    #expect(answer.status == 404)
    #expect(answer.errorMessage.contains("--allow-runtime-lora-updating"))
    let disabled = try TestAPI()
    #expect(try disabled.post("/v1/load_lora_adapter", load("x")).errorMessage.contains("--enable-lora"))
    #expect(try disabled.post("/v1/unload_lora_adapter", ["lora_name": "x"]).status == 400)
    #expect(try !disabled.get("/metrics").text.contains("vllm:lora_requests_info"))
    disabled.api.beginDrain()
    #expect(try disabled.post("/v1/load_lora_adapter", load("x")).status == 503)
  }

  @Test("Many clients load one name at once: one of them does")
  func race() throws {
    let engine = FakeAdapters()
    let api = try TestAPI(.socket, adapters: try engine.names(limit: 100))
    let clients = try (0..<16).map { _ in try api.connect() }
    for client in clients {
      client.send("POST", "/v1/load_lora_adapter", body: Array(load("poet").serialized().utf8))
    }
    let statuses = try clients.map { try $0.response().status }
    #expect(statuses.filter { $0 == 200 }.count == 1)
    #expect(statuses.filter { $0 == 400 }.count == 15)
    #expect(engine.loaded.count == 1)
  }

  @Test("The metric names the adapters that run and wait")
  func metric() throws {
    let api = try TestAPI(adapters: try FakeAdapters().names(with: ["a", "b", "c"]))
    api.service.setStatistics {
      $0.adapters = [1: AdapterLoad(running: 2), 3: AdapterLoad(running: 1, waiting: 4)]
    }
    let text = try api.get("/metrics").text
    let line =
      #"vllm:lora_requests_info{max_lora="8",running_lora_adapters="a,c",waiting_lora_adapters="c"} "#
    let sample = try #require(text.components("\n").first { $0.hasPrefix("vllm:lora_requests_info{") })
    #expect(sample.hasPrefix(line), "\(sample)")
    #expect(Double(sample.dropFirst(line.count)) ?? 0 > 1e9)
  }
}
