import JSON
import TestSupport
import Testing
import Tokenizers

@testable import Generation
@testable import Server

@Suite("Streams")
struct StreamTests {
  /// What a stream says, put together by choice.
  struct Joined: Equatable {
    var text = ""
    var tokens: [Int] = []
    var logprobs: [JSONValue] = []
    var finish: JSONValue = .null
    var stop: JSONValue = .null
  }

  private func join(_ text: String, chat: Bool) throws -> [Int: Joined] {
    var joined: [Int: Joined] = [:]
    for event in TestAPI.events(text).dropLast() {
      let json = try JSONValue.parse(event)
      for choice in json["choices"]?.array ?? [] {
        let index = try #require(choice["index"]?.int)
        var entry = joined[index] ?? Joined()
        #expect(entry.finish == .null, "nothing may follow a finish")
        entry.text += (chat ? choice["delta"]?["content"] : choice["text"])?.string ?? ""
        entry.tokens += choice["token_ids"]?.ints ?? []
        if chat { entry.logprobs += choice["logprobs"]?["content"]?.array ?? [] }
        if !chat { entry.logprobs += choice["logprobs"]?["token_logprobs"]?.array ?? [] }
        entry.finish = choice["finish_reason"] ?? .null
        entry.stop = choice["stop_reason"] ?? .null
        joined[index] = entry
      }
    }
    return joined
  }

  private func whole(_ json: JSONValue, chat: Bool) -> [Int: Joined] {
    var whole: [Int: Joined] = [:]
    for choice in json["choices"]?.array ?? [] {
      let logprobs = chat ? choice["logprobs"]?["content"] : choice["logprobs"]?["token_logprobs"]
      whole[choice["index"]?.int ?? -1] = Joined(
        text: (chat ? choice["message"]?["content"] : choice["text"])?.string ?? "",
        tokens: choice["token_ids"]?.ints ?? [], logprobs: logprobs?.array ?? [],
        finish: choice["finish_reason"] ?? .null, stop: choice["stop_reason"] ?? .null)
    }
    return whole
  }

  @Test("A streamed answer is the same as a whole one, for random tokens and settings", arguments: 0..<60)
  func equality(seed: Int) throws {
    var generator = SeededGenerator(seed: UInt64(seed))
    let chat = Bool.random(using: &generator)
    var body: JSONObject = [
      "max_tokens": .integer(.random(in: 1...60, using: &generator)),
      "n": .integer(.random(in: 1...3, using: &generator)), "seed": .integer(Int64(seed)),
      "return_token_ids": true, "skip_special_tokens": .bool(Bool.random(using: &generator)),
      "include_stop_str_in_output": .bool(Bool.random(using: &generator)),
    ]
    // Short stop strings, so that they are met, also across tokens.
    let stops = ["e ", "th", "a", " s", "n\n", "ing", "é"].shuffled(using: &generator)
    body["stop"] = .array(stops.prefix(.random(in: 0...3, using: &generator)).map { .string($0) })
    if Bool.random(using: &generator) {
      body["logprobs"] = chat ? true : 2
      if chat { body["top_logprobs"] = 2 }
    }
    if chat {
      body["messages"] = [["role": "user", "content": "Tell me"]]
    } else {
      body["prompt"] = Bool.random(using: &generator) ? "Once" : ["Once", "Twice"]
      body["echo"] = .bool(Bool.random(using: &generator))
    }
    let path = chat ? "/v1/chat/completions" : "/v1/completions"
    let api = try TestAPI()
    let answer = try api.post(path, .object(body))
    #expect(answer.status == 200, "\(answer.text)")
    body["stream"] = true
    body["stream_options"] = ["include_usage": true]
    let streamed = try api.post(path, .object(body))
    #expect(try join(streamed.text, chat: chat) == whole(answer.json, chat: chat))
    let last = try JSONValue.parse(try #require(TestAPI.events(streamed.text).dropLast().last))
    #expect(last["choices"] == [])
    #expect(last["usage"] == answer.json["usage"])
    #expect(!streamed.text.contains("\u{FFFD}") || answer.text.contains("\u{FFFD}"))
  }

  @Test("Stop strings and characters that tokens split never show in part")
  func splitCharacters() throws {
    let tokenizer = try TestAPI.demoTokenizer()
    let text = "naïve 日本語 🙂 END of it"
    // Byte by byte, where the vocabulary has the bytes: every character of more than one byte is split.
    let tokens = Array(text.utf8).flatMap { byte in
      (try? tokenizer.encode([byte], addSpecialTokens: false)) ?? []
    }
    let whole = tokenizer.decode(tokens)
    for stop in ["END", "日本", "🙂"] {
      let api = try TestAPI(script: { _ in
        FakeStream(
          events: [.prompt(cachedTokens: 0, logprobs: nil)]
            + tokens.map { .token(choice: 0, token: $0, logprobs: nil) } + [
              .finished(choice: 0, reason: .length)
            ],
          splits: true)
      })
      let answer = try api.post("/v1/completions", ["prompt": [5], "stream": true, "stop": .string(stop)])
      let joined = try join(answer.text, chat: false)[0]
      let parts = whole.components(stop)
      if parts.count > 1 {
        #expect(joined?.text == parts[0])
        #expect(joined?.stop == .string(stop))
      } else {
        #expect(joined?.text == whole)
      }
    }
  }

  @Test("Events are framed as clients expect", arguments: World.allCases)
  func framing(_ world: World) throws {
    let api = try TestAPI(world)
    for path in ["/v1/completions", "/v1/chat/completions"] {
      var body: JSONObject = ["max_tokens": 5, "stream": true, "ignore_eos": true]
      if path == "/v1/completions" {
        body["prompt"] = [5]
      } else {
        body["messages"] = [["role": "user", "content": "x"]]
      }
      let answer = try api.post(path, .object(body))
      #expect(answer.status == 200)
      #expect(answer.headers["Content-Type"] == "text/event-stream; charset=utf-8")
      #expect(answer.headers["Cache-Control"] == "no-cache")
      #expect(answer.text.hasSuffix("data: [DONE]\n\n"))
      let events = TestAPI.events(answer.text)
      #expect(events.allSatisfy { !$0.contains("\n") })
      let parsed = try events.dropLast().map { try JSONValue.parse($0) }
      #expect(Set(parsed.map { $0["id"]?.string }).count == 1)
      #expect(Set(parsed.map { $0["created"]?.int }).count == 1)
      #expect(parsed.allSatisfy { $0["usage"] == nil })
      #expect(parsed.last?["choices"]?[0]?["finish_reason"] == "length")
      if path == "/v1/chat/completions" {
        #expect(parsed.allSatisfy { $0["object"] == "chat.completion.chunk" })
        #expect(parsed[0]["choices"]?[0]?["delta"] == ["role": "assistant", "content": ""])
        #expect(parsed.dropFirst().allSatisfy { $0["choices"]?[0]?["delta"]?["role"] == nil })
      } else {
        #expect(parsed.allSatisfy { $0["object"] == "text_completion" })
      }
    }
  }

  @Test("Usage comes with every event when asked for, and at the end when forced")
  func usage() throws {
    let api = try TestAPI()
    let answer = try api.post(
      "/v1/completions",
      [
        "prompt": [5, 6], "max_tokens": 9, "stream": true, "ignore_eos": true, "return_token_ids": true,
        "stream_options": ["include_usage": true, "continuous_usage_stats": true],
      ])
    let parsed = try TestAPI.events(answer.text).dropLast().map { try JSONValue.parse($0) }
    let counts = parsed.compactMap { $0["usage"]?["completion_tokens"]?.int }
    #expect(counts.count == parsed.count)
    #expect(counts == counts.sorted())
    #expect(counts.last == 9)
    #expect(parsed.allSatisfy { $0["usage"]?["prompt_tokens"] == 2 })

    let forced = try TestAPI(options: with(ServerOptions()) { $0.forcesUsageInStreams = true })
    let text = try forced.post("/v1/completions", ["prompt": [5], "stream": true]).text
    #expect(try JSONValue.parse(TestAPI.events(text).dropLast().last ?? "")["usage"]?["prompt_tokens"] == 1)
  }

  @Test("A failure after the first token is told inside the stream")
  func failureInside() throws {
    let token = Int32(100)
    let stream = FakeStream(
      events: [.prompt(cachedTokens: 0, logprobs: nil), .token(choice: 0, token: token, logprobs: nil)],
      isComplete: false, splits: false)
    let api = try TestAPI(.socket, script: { _ in stream })
    let client = try api.connect()
    client.send("POST", "/v1/completions", body: Array(#"{"prompt":[5],"stream":true}"#.utf8))
    #expect(try client.head().status == 200)
    _ = try client.chunk()
    stream.push(.finished(choice: 0, reason: .failed("the device is gone")), isComplete: true)
    var text = ""
    while case let chunk = try client.chunk(), !chunk.isEmpty {
      text += String(decoding: chunk, as: UTF8.self)
    }
    let events = TestAPI.events(text)
    #expect(events.count == 2)
    #expect(events.last == "[DONE]")
    let error = try JSONValue.parse(events[0])["error"]
    #expect(error?["code"] == 500)
    #expect(error?["message"] == "Generation failed: the device is gone")
  }

  @Test("A silent stream gets comments, which are no events")
  func pings() throws {
    let stream = FakeStream(events: [.prompt(cachedTokens: 0, logprobs: nil)], isComplete: false)
    let options = with(ServerOptions()) {
      $0.pingIntervalMilliseconds = 20
      $0.presenceIntervalMilliseconds = 5
    }
    let api = try TestAPI(.socket, options: options, script: { _ in stream })
    let client = try api.connect()
    client.send("POST", "/v1/completions", body: Array(#"{"prompt":[5],"stream":true}"#.utf8))
    #expect(try client.head().status == 200)
    for _ in 0..<3 { #expect(try client.chunk() == Array(": ping\n\n".utf8)) }
    stream.push(.finished(choice: 0, reason: .length), isComplete: true)
    var rest = ""
    while case let chunk = try client.chunk(), !chunk.isEmpty {
      rest += String(decoding: chunk, as: UTF8.self)
    }
    #expect(TestAPI.events(rest).count == 2)
  }

  @Test("Each token is sent when it comes")
  func immediacy() throws {
    let tokenizer = try TestAPI.demoTokenizer()
    let words = try tokenizer.encode(" one two three", addSpecialTokens: false)
    let stream = FakeStream(events: [.prompt(cachedTokens: 0, logprobs: nil)], isComplete: false)
    let api = try TestAPI(.socket, script: { _ in stream })
    let client = try api.connect()
    client.send("POST", "/v1/completions", body: Array(#"{"prompt":[5],"stream":true}"#.utf8))
    var text = ""
    var isFirst = true
    for word in words {
      stream.push(.token(choice: 0, token: word, logprobs: nil))
      if isFirst { #expect(try client.head().status == 200) }
      isFirst = false
      let events = TestAPI.events(String(decoding: try client.chunk(), as: UTF8.self))
      for event in events { text += try JSONValue.parse(event)["choices"]?[0]?["text"]?.string ?? "" }
      #expect(text == tokenizer.decode(words.prefix { $0 != word } + [word]))
    }
    stream.push(.finished(choice: 0, reason: .length), isComplete: true)
  }
}
