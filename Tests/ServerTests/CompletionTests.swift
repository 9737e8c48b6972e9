import JSON
import TestSupport
import Testing
import Tokenizers

@testable import Generation
@testable import Server

@Suite("Completions")
struct CompletionTests {
  @Test("An answer has every field the API promises", arguments: World.allCases)
  func shape(_ world: World) throws {
    let api = try TestAPI(world)
    let answer = try api.post(
      "/v1/completions", ["prompt": [5, 6, 7], "max_tokens": 6, "seed": 3, "ignore_eos": true, "n": 2])
    #expect(answer.status == 200)
    #expect(answer.headers["Content-Type"] == "application/json")
    let json = answer.json
    #expect(json["id"]?.string?.hasPrefix("cmpl-") == true)
    #expect(json["object"] == "text_completion")
    #expect(json["model"] == "demo")
    #expect(json["system_fingerprint"]?.string?.hasPrefix("gpuinfer-0.1.0-") == true)
    #expect(json["usage"]?["prompt_tokens"] == 3)
    #expect(json["usage"]?["completion_tokens"] == 12)
    #expect(json["usage"]?["total_tokens"] == 15)
    #expect(json["usage"]?["prompt_tokens_details"]?["cached_tokens"] == 0)
    let choices = try #require(json["choices"]?.array)
    #expect(choices.count == 2)
    for (index, choice) in choices.enumerated() {
      #expect(
        choice.object?.keys == [
          "index", "text", "logprobs", "finish_reason", "stop_reason", "token_ids", "prompt_logprobs",
          "prompt_token_ids",
        ])
      #expect(choice["index"]?.int == index)
      #expect(choice["finish_reason"] == "length")
      #expect(choice["stop_reason"] == .null)
    }
  }

  @Test("The engine is asked for exactly what the request says")
  func submission() throws {
    let api = try TestAPI(options: with(ServerOptions()) { $0.usesPriorities = true })
    _ = try api.post(
      "/v1/completions",
      [
        "prompt": [5, 6, 7], "max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.1,
        "repetition_penalty": 1.5, "presence_penalty": 0.25, "frequency_penalty": -0.5, "seed": -5,
        "logit_bias": ["7": 500, "8": -3], "allowed_token_ids": [7, 8], "stop_token_ids": [9],
        "min_tokens": 2,
        "ignore_eos": true, "n": 3, "logprobs": 4, "prompt_logprobs": 2, "priority": -7,
        "cache_salt": "tenant",
      ])
    let request = try #require(api.service.submissions.first?.request)
    #expect(request.prompt == [5, 6, 7])
    var sampling = SamplingParameters()
    sampling.temperature = 0.5
    sampling.topP = 0.9
    sampling.topK = 40
    sampling.minP = 0.1
    sampling.repetitionPenalty = 1.5
    sampling.presencePenalty = 0.25
    sampling.frequencyPenalty = -0.5
    sampling.seed = UInt64(bitPattern: -5)
    sampling.logitBias = [7: 100, 8: -3]
    sampling.allowedTokens = [7, 8]
    #expect(request.sampling == sampling)
    var stop = StopConditions(maxTokens: 9)
    stop.minTokens = 2
    stop.endOfTextTokens = [1, 4]
    stop.stopTokens = [9]
    stop.ignoreEndOfText = true
    #expect(request.stop == stop)
    #expect(request.choices == 3)
    #expect(request.logprobs == 4)
    #expect(request.promptLogprobs == 2)
    #expect(request.priority == -7)
    #expect(request.cacheSalt == "tenant")
  }

  @Test("What is left open comes from the checkpoint's defaults, and greedy turns the others off")
  func defaults() throws {
    let defaults = try GenerationDefaults(
      generation: ["temperature": 0.7, "top_p": 0.95, "top_k": 50, "max_new_tokens": 33], model: [:],
      tokenizerEnd: nil)
    let api = try TestAPI(defaults: defaults)
    #expect(api.model.defaultsSummary.contains("temperature 0.7, top_p 0.95, top_k 50, max_tokens 33"))
    _ = try api.post("/v1/completions", ["prompt": [5]])
    _ = try api.post("/v1/completions", ["prompt": [5], "temperature": 0])
    _ = try api.post("/v1/completions", ["prompt": [5], "temperature": 0.001, "seed": -1])
    _ = try api.post("/v1/chat/completions", ["messages": [["role": "user", "content": "a"]]])
    let requests = api.service.submissions.map(\.request)
    #expect(requests[0].sampling.temperature == 0.7)
    #expect(requests[0].sampling.topP == 0.95)
    #expect(requests[0].sampling.topK == 50)
    #expect(requests[0].sampling.minP == 0)
    #expect(requests[0].sampling.repetitionPenalty == 1)
    #expect(requests[0].sampling.seed == nil)
    #expect(requests[0].stop.maxTokens == 16)
    #expect(requests[1].sampling.temperature == 0)
    #expect(requests[1].sampling.topP == 1)
    #expect(requests[1].sampling.topK == 0)
    #expect(requests[2].sampling.temperature == 0.01)
    #expect(requests[2].sampling.seed == nil)
    #expect(requests[3].stop.maxTokens == 33)
  }

  @Test("Prompts come in four forms; choices are numbered by prompt, then sample")
  func promptForms() throws {
    let api = try TestAPI()
    let tokenizer = try TestAPI.demoTokenizer()
    let text = try tokenizer.encode("Hello")
    let cases: [(JSONValue, [[Int32]])] = [
      ("Hello", [text]), (["Hello", "Hello"], [text, text]), ([5, 6], [[5, 6]]),
      ([[5], [6, 7]], [[5], [6, 7]]),
    ]
    var seen = 0
    for (prompt, expected) in cases {
      let answer = try api.post("/v1/completions", ["prompt": prompt, "n": 2, "max_tokens": 3])
      #expect(api.service.submissions.dropFirst(seen).map(\.request.prompt) == expected)
      seen += expected.count
      #expect(answer.json["choices"]?.array?.compactMap { $0["index"]?.int } == Array(0..<expected.count * 2))
      #expect(answer.json["usage"]?["prompt_tokens"]?.int == expected.reduce(0) { $0 + $1.count })
    }
    let bare = try tokenizer.encode("Hello", addSpecialTokens: false)
    _ = try api.post("/v1/completions", ["prompt": "Hello", "add_special_tokens": false])
    #expect(api.service.submissions.last?.request.prompt == bare)
  }

  @Test("1,024 prompts are one request")
  func manyPrompts() throws {
    let api = try TestAPI()
    let prompts = (0..<1024).map { JSONValue.array([.integer(Int64($0 % 4000 + 5))]) }
    let answer = try api.post("/v1/completions", ["prompt": .array(prompts), "max_tokens": 1])
    #expect(answer.status == 200)
    #expect(answer.json["choices"]?.array?.count == 1024)
    #expect(api.service.submissions.count == 1024)
  }

  @Test("When one prompt of many is refused, the others are cancelled")
  func refusedAmongMany() throws {
    let api = try TestAPI(script: { request throws(SubmissionError) in
      if request.prompt == [7] { throw .overloaded(retryAfterSeconds: 3) }
      return FakeStream(isComplete: false)
    })
    let answer = try api.post("/v1/completions", ["prompt": [[5], [6], [7]]])
    #expect(answer.status == 429)
    #expect(api.service.submissions.count == 2)
    #expect(api.service.submissions.allSatisfy { $0.stream.isCancelled })
  }

  @Test("A prompt is cut on the side the request names")
  func truncation() throws {
    let api = try TestAPI()
    let prompt: JSONValue = [5, 6, 7, 8]
    _ = try api.post("/v1/completions", ["prompt": prompt, "truncate_prompt_tokens": 2])
    _ = try api.post(
      "/v1/completions", ["prompt": prompt, "truncate_prompt_tokens": 3, "truncation_side": "right"])
    _ = try api.post("/v1/completions", ["prompt": prompt, "truncate_prompt_tokens": -1])
    #expect(api.service.submissions.map(\.request.prompt) == [[7, 8], [5, 6, 7], [5, 6, 7, 8]])
  }

  @Test("Log-probabilities are the engine's, float for float, the chosen token among them")
  func logprobs() throws {
    let api = try TestAPI()
    let tokenizer = try TestAPI.demoTokenizer()
    for count in [0, 1, 5] {
      let answer = try api.post(
        "/v1/completions",
        ["prompt": [5, 6], "max_tokens": 12, "logprobs": .integer(Int64(count)), "seed": 11])
      let events = FakeService.events(for: try #require(api.service.submissions.last?.request))
      let tokens = events.compactMap { event -> TokenLogprobs? in
        if case .token(_, _, let logprobs) = event { logprobs } else { nil }
      }
      let shown = try #require(answer.json["choices"]?[0]?["logprobs"])
      let values = try #require(shown["token_logprobs"]?.array)
      #expect(values.map { $0.double.map { Float($0) } } == tokens.map { $0.chosen.logprob })
      #expect(
        shown["tokens"]?.array?.map(\.string)
          == tokens.map { AssembledToken.Entry.text(of: tokenizer.bytes(of: $0.chosen.token)) })
      let tops = try #require(shown["top_logprobs"]?.array)
      for (index, top) in tops.enumerated() {
        let entries = try #require(top.object)
        #expect((1...count + 1).contains(entries.count))
        // The same number in both places, so that a client can compare them for equality.
        #expect(entries.values.contains(values[index]))
        for entry in tokens[index].top.prefix(count) {
          let name = AssembledToken.Entry.text(of: tokenizer.bytes(of: entry.token))
          #expect(entries[name] != nil)
        }
      }
      let offsets = try #require(shown["text_offset"]?.ints)
      #expect(offsets.first == 0)
      #expect(offsets == offsets.sorted())
    }
  }

  @Test("Tokens can be shown by number")
  func tokenIDs() throws {
    let api = try TestAPI()
    let answer = try api.post(
      "/v1/completions",
      [
        "prompt": [5, 6], "max_tokens": 4, "logprobs": 1, "return_tokens_as_token_ids": true,
        "return_token_ids": true, "ignore_eos": true,
      ])
    let choice = answer.json["choices"]?[0]
    let ids = try #require(choice?["token_ids"]?.ints)
    #expect(ids.count == 4)
    #expect(choice?["logprobs"]?["tokens"]?.strings == ids.map { "token_id:\($0)" })
    #expect(choice?["prompt_token_ids"] == [5, 6])
  }

  @Test("Echo returns the prompt, its log-probabilities with null first, then the output")
  func echo() throws {
    let api = try TestAPI()
    let tokenizer = try TestAPI.demoTokenizer()
    let prompt = try tokenizer.encode("Once upon a time")
    let answer = try api.post(
      "/v1/completions",
      [
        "prompt": .array(prompt.map { .integer(Int64($0)) }), "max_tokens": 3, "logprobs": 2, "echo": true,
        "ignore_eos": true,
      ])
    let choice = try #require(answer.json["choices"]?[0])
    let shown = try #require(choice["logprobs"])
    let count = prompt.count + 3
    #expect(shown["tokens"]?.array?.count == count)
    #expect(shown["text_offset"]?.array?.count == count)
    #expect(shown["top_logprobs"]?.array?.count == count)
    let values = try #require(shown["token_logprobs"]?.array)
    #expect(values.count == count)
    #expect(values[0] == .null)
    #expect(values[1...].allSatisfy { $0.double != nil })
    #expect(shown["top_logprobs"]?[0] == .null)
    let text = try #require(choice["text"]?.string)
    let promptText = tokenizer.decode(prompt, skipSpecialTokens: true)
    #expect(text.hasPrefix(promptText))
    #expect(shown["text_offset"]?[prompt.count]?.int == promptText.unicodeScalars.count)
    #expect(api.service.submissions.last?.request.promptLogprobs == 2)
  }

  @Test("max_tokens 0 with echo scores the prompt and generates nothing", arguments: [false, true])
  func scoring(streams: Bool) throws {
    let api = try TestAPI()
    let body: JSONValue = [
      "prompt": "Hello world", "max_tokens": 0, "logprobs": 1, "echo": true, "stream": .bool(streams),
    ]
    let answer = try api.post("/v1/completions", body)
    #expect(answer.status == 200)
    if streams {
      let events = TestAPI.events(answer.text)
      #expect(events.last == "[DONE]")
      let texts = try events.dropLast().map { try JSONValue.parse($0)["choices"]?[0]?["text"]?.string ?? "" }
      #expect(texts.joined() == "Hello world")
    } else {
      #expect(answer.json["choices"]?[0]?["text"] == "Hello world")
      #expect(answer.json["choices"]?[0]?["finish_reason"] == "length")
      #expect(answer.json["usage"]?["completion_tokens"] == 0)
      let values = answer.json["choices"]?[0]?["logprobs"]?["token_logprobs"]?.array
      #expect(values?.count == answer.json["usage"]?["prompt_tokens"]?.int)
    }
  }

  @Test("prompt_logprobs are keyed by token id, null first")
  func promptLogprobs() throws {
    let api = try TestAPI()
    let answer = try api.post(
      "/v1/completions", ["prompt": [5, 6, 7], "prompt_logprobs": 1, "max_tokens": 1])
    let list = try #require(answer.json["choices"]?[0]?["prompt_logprobs"]?.array)
    #expect(list.count == 3)
    #expect(list[0] == .null)
    for (index, token) in [(1, "6"), (2, "7")] {
      let entry = try #require(list[index][token])
      #expect(entry.object?.keys == ["logprob", "rank", "decoded_token"])
    }
  }

  @Test("Stop strings, stop tokens and the model's end are told apart")
  func finishReasons() throws {
    let tokenizer = try TestAPI.demoTokenizer()
    let words = try tokenizer.encode(" one two three", addSpecialTokens: false)
    let cases: [(JSONObject, [TokenEvent], String, JSONValue)] = [
      (["stop": "two"], [.finished(choice: 0, reason: .length)], "stop", "two"),
      ([:], [.finished(choice: 0, reason: .stopToken(9))], "stop", 9),
      ([:], [.finished(choice: 0, reason: .endOfText)], "stop", .null),
      ([:], [.finished(choice: 0, reason: .length)], "length", .null),
      ([:], [.finished(choice: 0, reason: .aborted)], "abort", .null),
    ]
    for (fields, end, reason, stopReason) in cases {
      let api = try TestAPI(script: { _ in
        FakeStream(
          events: [.prompt(cachedTokens: 0, logprobs: nil)]
            + words.map { .token(choice: 0, token: $0, logprobs: nil) } + end)
      })
      var body = fields
      body["prompt"] = [5]
      let choice = try #require(try api.post("/v1/completions", .object(body)).json["choices"]?[0])
      #expect(choice["finish_reason"]?.string == reason)
      #expect(choice["stop_reason"] == stopReason)
      #expect(
        choice["text"]?.string == (reason == "stop" && stopReason == "two" ? " one " : " one two three"))
      if stopReason == "two" { #expect(api.service.submissions.first?.stream.finishedChoices == [0]) }
    }
  }

  @Test("A failure of the engine is a 500", arguments: [false, true])
  func failure(streams: Bool) throws {
    let api = try TestAPI(script: { _ in
      FakeStream(events: [.finished(choice: 0, reason: .failed("NaN in logits"))])
    })
    let answer = try api.post("/v1/completions", ["prompt": [5], "stream": .bool(streams)])
    #expect(answer.status == 500)
    #expect(answer.errorMessage == "Generation failed: NaN in logits")
    #expect(answer.json["error"]?["type"] == "InternalServerError")
  }

  @Test("An engine that stops in the middle fails the request instead of hanging it")
  func stoppedEngine() throws {
    let api = try TestAPI(script: { _ in FakeStream(events: [.prompt(cachedTokens: 0, logprobs: nil)]) })
    let answer = try api.post("/v1/completions", ["prompt": [5]])
    #expect(answer.status == 500)
  }

  static let submissionErrors: [(SubmissionError, Int, String)] = [
    (.overloaded(retryAfterSeconds: 7), 429, "RateLimitError"), (.draining, 503, "ServiceUnavailableError"),
    (.stopped("broken"), 503, "ServiceUnavailableError"), (.emptyPrompt, 400, "BadRequestError"),
    (.promptTooLong(tokens: 9, requested: 1, maximum: 8), 400, "BadRequestError"),
    (.tokenOutOfRange(index: 0, token: 9, vocabularySize: 5), 400, "BadRequestError"),
    (.exceedsMemory(neededBlocks: 9, totalBlocks: 5), 400, "BadRequestError"),
    (.invalid(field: "choices", value: 0, requirement: "must be positive"), 400, "BadRequestError"),
  ]

  @Test("What the engine refuses has its status", arguments: 0..<submissionErrors.count)
  func refusals(index: Int) throws {
    let (error, status, type) = Self.submissionErrors[index]
    let api = try TestAPI(script: { _ throws(SubmissionError) in throw error })
    for streams in [false, true] {
      let answer = try api.post("/v1/completions", ["prompt": [5], "stream": .bool(streams)])
      #expect(answer.status == status)
      #expect(answer.json["error"]?["type"]?.string == type)
      #expect(answer.json["error"]?["code"]?.int == status)
      if status == 429 { #expect(answer.headers["Retry-After"] == "7") }
    }
    #expect(api.api.activeRequests == 0)
  }
}

func with<Value>(_ value: Value, _ change: (inout Value) -> Void) -> Value {
  var value = value
  change(&value)
  return value
}
