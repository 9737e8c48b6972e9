import JSON
import TestSupport
import Testing
import Tokenizers

@testable import Generation
@testable import Server

@Suite("Embeddings")
struct EmbeddingTests {
  private func floats(_ value: JSONValue?) -> [Float]? {
    value?.array?.compactMap { $0.double.map { Float($0) } }
  }

  /// What the scripted engine gives for a prompt.
  private func vector(_ prompt: [Int32], pooling: EmbeddingPooling = .last) throws -> [Float] {
    var request = GenerationRequest(id: "", prompt: prompt, stop: StopConditions(maxTokens: 0))
    request.embedding = pooling
    for case .embedding(let vector) in FakeService.events(for: request) { return vector }
    return []
  }

  private func decode(_ text: String) -> [UInt8] {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
    var bits = 0
    var count = 0
    var bytes: [UInt8] = []
    for character in text where character != "=" {
      bits = bits << 6 | (alphabet.firstIndex(of: character) ?? 0)
      count += 6
      if count >= 8 {
        count -= 8
        bytes.append(UInt8(truncatingIfNeeded: bits >> count))
      }
    }
    return bytes
  }

  @Test(
    "Every form of input gives its vectors in order, of length 1 unless asked otherwise",
    arguments: World.allCases)
  func forms(_ world: World) throws {
    let api = try TestAPI(world)
    let tokenizer = try TestAPI.demoTokenizer()
    let (one, two) = (try tokenizer.encode("Once upon"), try tokenizer.encode("a time of long ago"))
    let forms: [(JSONValue, [[Int32]])] = [
      ("Once upon", [one]), (["Once upon"], [one]), (["Once upon", "a time of long ago"], [one, two]),
      ([5, 6, 7], [[5, 6, 7]]), ([[5, 6, 7], [9]], [[5, 6, 7], [9]]),
    ]
    for (input, prompts) in forms {
      let json = try api.post("/v1/embeddings", ["input": input, "use_activation": false]).json
      #expect(json["object"] == "list")
      #expect(json["model"] == "demo")
      #expect(json["id"]?.string?.hasPrefix("embd-") == true)
      #expect(json["data"]?.array?.compactMap { $0["index"]?.int } == Array(prompts.indices))
      #expect(json["data"]?.array?.allSatisfy { $0["object"] == "embedding" } == true)
      for (index, prompt) in prompts.enumerated() {
        #expect(floats(json["data"]?[index]?["embedding"]) == (try vector(prompt)))
      }
      let count = prompts.reduce(0) { $0 + $1.count }
      #expect(json["usage"]?["prompt_tokens"]?.int == count)
      #expect(json["usage"]?["total_tokens"]?.int == count)
      #expect(json["usage"]?["completion_tokens"] == 0)
      let scaled = try api.post("/v1/embeddings", ["input": input]).json
      for (index, prompt) in prompts.enumerated() {
        let raw = try vector(prompt).map { Double($0) }
        let length = raw.reduce(0) { $0 + $1 * $1 }.squareRoot()
        let found = floats(scaled["data"]?[index]?["embedding"]) ?? []
        #expect(found.count == raw.count)
        #expect(zip(found, raw).allSatisfy { abs(Double($0) - $1 / length) < 1e-7 })
      }
    }
    #expect(
      api.service.submissions.allSatisfy { $0.request.stop.maxTokens == 0 && $0.request.embedding == .last })
  }

  @Test("base64 holds the same floats, little-endian")
  func base64() throws {
    let api = try TestAPI()
    let text = try api.post("/v1/embeddings", ["input": ["a b c", "d"], "encoding_format": "base64"]).json
    let numbers = try api.post("/v1/embeddings", ["input": ["a b c", "d"]]).json
    for index in 0..<2 {
      let bytes = decode(text["data"]?[index]?["embedding"]?.string ?? "")
      let decoded = stride(from: 0, to: bytes.count, by: 4).map { start in
        Float(bitPattern: (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[start + $1]) << UInt32(8 * $1) })
      }
      #expect(decoded.count == 8)
      #expect(decoded == floats(numbers["data"]?[index]?["embedding"]))
    }
    // RFC 4648, section 10.
    for (plain, encoded) in [
      ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
      ("foobar", "Zm9vYmFy"),
    ] {
      #expect(EmbeddingFormat.base64([UInt8](plain.utf8)) == encoded)
    }
    #expect(EmbeddingFormat.base64([0xFF, 0xFE, 0xFB] as [UInt8]) == "//77")
    #expect(EmbeddingFormat.normalized([0, 0]) == [0, 0])
  }

  @Test("Adapters, salts, truncation and the server's pooling go to the engine")
  func settings() throws {
    let api = try TestAPI(
      options: with(.permissive) { $0.pooling = .mean }, adapters: try FakeAdapters().names(with: ["poet"]))
    let json = try api.post(
      "/v1/embeddings",
      [
        "input": [5, 6, 7, 8], "model": "poet", "cache_salt": "s", "truncate_prompt_tokens": 3,
        "request_id": "mine",
      ]
    ).json
    #expect(json["model"] == "poet")
    #expect(json["id"] == "embd-mine")
    let request = try #require(api.service.submissions.last?.request)
    #expect(request.prompt == [6, 7, 8])
    #expect(request.embedding == .mean)
    #expect(request.adapter == 1)
    #expect(request.cacheSalt == "s")
  }

  @Test(
    "What is wrong is refused with its field",
    arguments: [
      (["input": ""], "input"), (["input": []], "input"), (["input": [[]]], "input"),
      (["input": [4096]], "input"),
      (["input": "a", "dimensions": 8], "dimensions"),
      (["input": "a", "encoding_format": "int8"], "encoding_format"),
      (["input": "a", "embed_dtype": "float16"], "embed_dtype"), (["input": "a", "priority": 3], "priority"),
      (["input": "a", "endianness": "big"], "endianness"), ([:], "input"),
      (["input": .array(Array(repeating: 5, count: 513))], "input_tokens"),
      (["input": .array(Array(repeating: "a", count: 2049))], "input"),
      (["input": "a", "truncate_prompt_tokens": 1000], "truncate_prompt_tokens"),
    ] as [(JSONValue, String)])
  func refused(body: JSONValue, field: String) throws {
    let api = try TestAPI()
    let answer = try api.post("/v1/embeddings", body)
    // The demo's tokenizer begins every text with a token, so an empty one has a state.
    if body["input"] == "" {
      #expect(answer.status == 200)
      return
    }
    #expect(answer.status == 400)
    #expect(answer.json["error"]?["param"]?.string?.hasSuffix(field) == true, "\(answer.text)")
    #expect(api.service.submissions.isEmpty)
    #expect(try api.post("/v1/embeddings", ["input": .array(Array(repeating: 5, count: 512))]).status == 200)
    #expect(try api.post("/v1/embeddings", ["input": "a", "model": "other"]).status == 404)
  }

  @Test("A full queue, a failing engine and a client that leaves cancel what was submitted")
  func failures() throws {
    let submitted = Monitor(0)
    let full = try TestAPI(script: { request throws(SubmissionError) in
      let number = submitted.update { number in
        number += 1
        return number
      }
      if number == 3 { throw .overloaded(retryAfterSeconds: 2) }
      return FakeStream(isComplete: false)
    })
    #expect(try full.post("/v1/embeddings", ["input": [[5], [6], [7], [8]]]).status == 429)
    #expect(full.service.submissions.count == 2)
    #expect(full.service.submissions.allSatisfy { $0.stream.isCancelled })

    let failing = try TestAPI(script: { request throws(SubmissionError) in
      request.prompt == [6]
        ? FakeStream(events: [.finished(choice: 0, reason: .failed("NaN"))]) : FakeService.generate(request)
    })
    #expect(try failing.post("/v1/embeddings", ["input": [[5], [6], [7]]]).status == 500)

    let slow = try TestAPI(.socket, script: { _ throws(SubmissionError) in FakeStream(isComplete: false) })
    let client = try slow.connect()
    client.send("POST", "/v1/embeddings", body: Array(#"{"input":"a"}"#.utf8))
    let submission = slow.service.submissions(count: 1)[0]
    client.close()
    #expect(submission.stream.waitUntilCancelled())
    #expect(slow.api.active.waitUntilNone(timeoutMilliseconds: Patience.milliseconds))
  }
}
