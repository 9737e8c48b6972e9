import JSON
import TestSupport
import Testing

@testable import Generation
@testable import Server

internal import Foundation

@Suite("Batches API")
struct BatchAPITests {
  private func line(_ id: String, prompt: Int = 5, url: String = "/v1/completions") -> String {
    let body: JSONValue =
      switch url {
      case "/v1/embeddings": ["input": [.integer(Int64(prompt))]]
      case "/v1/chat/completions": ["messages": [["role": "user", "content": "a"]], "max_tokens": 2]
      default: ["prompt": [.integer(Int64(prompt))], "max_tokens": 3]
      }
    return (["custom_id": .string(id), "method": "POST", "url": .string(url), "body": body] as JSONValue)
      .serialized()
  }

  private func create(
    _ api: TestAPI, _ input: String, endpoint: String = "/v1/completions", metadata: JSONValue = .null
  ) throws -> TestAPI.Answer {
    try api.post(
      "/v1/batches",
      [
        "input_file_id": .string(input), "endpoint": .string(endpoint), "completion_window": "24h",
        "metadata": metadata,
      ])
  }

  /// Waits until the batch is over.
  private func wait(_ state: ServerState, _ id: String) throws -> BatchRecord {
    let never = Monitor(())
    for _ in 0..<Patience.milliseconds / 10 {
      if let record = state.batches[id], record.status.isOver { return record }
      never.wait(timeoutMilliseconds: 10, until: { _ in false }, then: { _ in })
    }
    return try #require(nil as BatchRecord?, "the batch never ended")
  }

  private func lines(_ text: String) throws -> [JSONValue] {
    try text.split(separator: "\n").map { try JSONValue.parse(String($0)) }
  }

  @Test(
    "A batch of any endpoint is answered, its errors apart from its answers",
    arguments: ["/v1/completions", "/v1/chat/completions", "/v1/embeddings"])
  func answered(endpoint: String) throws {
    let temporary = try TemporaryState()
    let api = try TestAPI(state: temporary.state)
    var requests = (0..<30).map { line("id-\($0)", url: endpoint) }
    // Wrong in what only the route itself can see.
    let wrong = line("wrong", url: endpoint).replacingOccurrences(
      of: "\"body\":{", with: "\"body\":{\"priority\":3,")
    requests.insert(wrong, at: 4)
    let input = try temporary.addInput(requests.joined(separator: "\n"))
    let created = try create(api, input, endpoint: endpoint, metadata: ["who": "me"]).json
    #expect(created["status"] == "validating" && created["object"] == "batch")
    #expect(created["metadata"] == ["who": "me"])
    let id = try #require(created["id"]?.string)
    #expect(api.api.startBatches(concurrency: 4) { Issue.record("\($0)") })
    let record = try wait(temporary.state, id)
    let shown = try api.get("/v1/batches/\(id)").json
    #expect(shown["status"] == "completed")
    #expect(shown["request_counts"] == ["total": 31, "completed": 30, "failed": 1])
    for field in ["in_progress_at", "finalizing_at", "completed_at"] { #expect(shown[field]?.int != nil) }
    for field in ["failed_at", "expired_at", "cancelled_at", "errors"] { #expect(shown[field] == .null) }
    #expect(record.expiresAt - record.createdAt == 86_400)
    let output = try #require(shown["output_file_id"]?.string)
    let errors = try #require(shown["error_file_id"]?.string)
    #expect(try api.get("/v1/files/\(output)").json["purpose"] == "batch_output")
    let answers = try lines(try api.get("/v1/files/\(output)/content").text)
    #expect(Set(answers.compactMap { $0["custom_id"]?.string }) == Set((0..<30).map { "id-\($0)" }))
    #expect(
      answers.count == 30
        && answers.allSatisfy { $0["response"]?["status_code"] == 200 && $0["error"] == .null })
    let failed = try lines(try temporary.content(of: errors))
    #expect(failed.map { $0["custom_id"] } == ["wrong"] && failed[0]["error"]?["message"] != nil)
    #expect(try create(api, output).json["error"]?["param"] == "input_file_id")
    api.api.stopBatches()
    let left = try FileManager.default.contentsOfDirectory(atPath: temporary.directory + "/batches")
    #expect(left == [id + ".json"])
  }

  @Test("Bad lines fail a batch before any is answered, each with its number")
  func validation() throws {
    let temporary = try TemporaryState()
    let api = try TestAPI(state: temporary.state)
    let input = try temporary.addInput(
      [
        line("a"), "not json", line("a"), line("b", url: "/v1/embeddings"), "[]", "",
        #"{"custom_id":"c","method":"GET","url":"/v1/completions","body":{}}"#,
        #"{"method":"POST","url":"/v1/completions","body":{}}"#,
      ].joined(separator: "\n"))
    let empty = try temporary.addInput("\n \n")
    let ids = try [input, empty].map { try #require(try create(api, $0).json["id"]?.string) }
    #expect(api.api.startBatches(concurrency: 4) { Issue.record("\($0)") })
    let record = try wait(temporary.state, ids[0])
    #expect(record.status == .failed)
    #expect(
      record.problems.map { [$0.code, $0.line.map { "\($0)" } ?? ""] } == [
        ["invalid_json_line", "2"], ["duplicate_custom_id", "3"], ["mismatched_endpoint", "4"],
        ["invalid_request", "5"], ["invalid_request", "7"], ["invalid_request", "8"],
      ])
    #expect(try wait(temporary.state, ids[1]).problems.map(\.code) == ["empty_file"])
    #expect(api.service.submissions.isEmpty)
    #expect(try api.get("/v1/batches/\(ids[0])").json["errors"]?["data"]?.array?.count == 6)
    api.api.stopBatches()
  }

  @Test(
    "A server stopped at any line leaves the rest to the next one: no answer is lost or repeated",
    arguments: 0..<12)
  func resume(seed: Int) throws {
    let temporary = try TemporaryState()
    var random = SeededGenerator(seed: UInt64(seed))
    let ids = (0..<40).map { "id-\($0)" }
    let input = try temporary.addInput(ids.map { line($0) }.joined(separator: "\n"))
    var batch = ""
    var servers = 0
    while servers < 50 {
      servers += 1
      let stopsAfter = Int.random(in: 0..<15, using: &random)
      let tears = Bool.random(using: &random)
      do {
        let count = Monitor(0)
        let stop = Monitor(false)
        let api = try TestAPI(
          state: temporary.state,
          script: { request throws(SubmissionError) in
            if count.update({
              $0 += 1
              return $0
            }) > stopsAfter {
              stop.update { $0 = true }
              return FakeStream(isComplete: false)
            }
            return FakeService.generate(request)
          })
        if batch.isEmpty { batch = try #require(try create(api, input).json["id"]?.string) }
        #expect(api.api.startBatches(concurrency: 3) { Issue.record("\($0)") })
        while temporary.state.batches[batch]?.status.isOver == false {
          let stops = stop.wait(timeoutMilliseconds: 10, until: { $0 }, then: { $0 })
          if stops { break }
        }
        api.api.stopBatches()
      }
      if temporary.state.batches[batch]?.status.isOver == true { break }
      // What a kill in the middle of a line leaves.
      let path = temporary.state.batches.answersPath(batch)
      if tears, let handle = FileHandle(forWritingAtPath: path) {
        handle.seekToEndOfFile()
        handle.write(Data(#"{"id":"batch_req_torn","custom_i"#.utf8))
        try handle.close()
      }
      try temporary.reopen()
    }
    let record = try #require(temporary.state.batches[batch])
    #expect(record.status == .completed && servers > 1)
    #expect(record.counts == .init(total: 40, completed: 40, failed: 0))
    #expect(record.errorFile == nil)
    let answers = try lines(try temporary.content(of: record.outputFile))
    #expect(answers.compactMap { $0["custom_id"]?.string }.sorted() == ids.sorted())
  }

  @Test("A cancelled batch keeps what was answered; one that is over cannot be cancelled")
  func cancelled() throws {
    let temporary = try TemporaryState()
    let reached = Monitor(0)
    let api = try TestAPI(
      state: temporary.state,
      script: { request throws(SubmissionError) in
        reached.update { $0 += 1 }
        return request.prompt == [7] ? FakeStream(isComplete: false) : FakeService.generate(request)
      })
    let input = try temporary.addInput(
      ([line("a"), line("b"), line("slow", prompt: 7)] + (0..<9).map { line("late-\($0)", prompt: 7) })
        .joined(separator: "\n"))
    let id = try #require(try create(api, input).json["id"]?.string)
    #expect(api.api.startBatches(concurrency: 1) { Issue.record("\($0)") })
    reached.wait(timeoutMilliseconds: Patience.milliseconds, until: { $0 >= 3 }, then: { _ in })
    #expect(try api.ask("DELETE", "/v1/files/\(input)").status == 409)
    let answer = try api.post("/v1/batches/\(id)/cancel", [:])
    #expect(answer.status == 200 && answer.json["status"] == "cancelling")
    let record = try wait(temporary.state, id)
    #expect(record.status == .cancelled)
    let answers = try lines(try temporary.content(of: record.outputFile))
    #expect(answers.compactMap { $0["custom_id"]?.string } == ["a", "b"])
    #expect(record.counts == .init(total: 12, completed: 2, failed: 0))
    let again = try api.post("/v1/batches/\(id)/cancel", [:])
    #expect(again.status == 409 && again.errorMessage.contains("cancelled"))
    #expect(try api.ask("DELETE", "/v1/files/\(input)").status == 200)
    api.api.stopBatches()
    // One that waits is cancelled without a request.
    let waiting = try #require(
      try create(api, try temporary.addInput(line("x"))).json["id"]?.string)
    #expect(try api.post("/v1/batches/\(waiting)/cancel", [:]).json["status"] == "cancelling")
  }

  @Test("Where the time ran out, requests without an answer are told so")
  func expired() throws {
    let temporary = try TemporaryState()
    let input = try temporary.addInput([line("a"), line("b"), line("c")].joined(separator: "\n"))
    let record = try temporary.state.batches.add(
      endpoint: "/v1/completions", inputFile: input, metadata: .null)
    let old = BatchRecord(
      id: record.id, endpoint: record.endpoint, inputFile: input, metadata: .null, number: 0,
      now: OpenAIServer.now - BatchRecord.windowSeconds - 5)
    var stored: [UInt8] = []
    old.stored.write(into: &stored)
    try DurableFile.write(stored, to: "\(temporary.directory)/batches/\(record.id).json")
    try DurableFile.write(
      Array(
        (#"{"id":"1","custom_id":"b","response":{"status_code":200,"body":{}},"error":null}"# + "\n").utf8),
      to: temporary.state.batches.answersPath(record.id))
    try temporary.reopen()
    let api = try TestAPI(state: temporary.state)
    #expect(api.api.startBatches(concurrency: 2) { Issue.record("\($0)") })
    let ended = try wait(temporary.state, record.id)
    #expect(ended.status == .expired)
    #expect(try lines(try temporary.content(of: ended.outputFile)).map { $0["custom_id"] } == ["b"])
    let errors = try lines(try temporary.content(of: ended.errorFile))
    #expect(errors.map { $0["custom_id"] } == ["a", "c"])
    #expect(errors.allSatisfy { $0["error"]?["code"] == "batch_expired" })
    #expect(api.service.submissions.isEmpty)
    api.api.stopBatches()
  }

  @Test("Wrong requests for batches are refused")
  func refused() throws {
    let temporary = try TemporaryState()
    let api = try TestAPI(state: temporary.state)
    let input = try temporary.addInput(line("a"))
    func ask(_ change: (inout JSONObject) -> Void) throws -> TestAPI.Answer {
      var body: JSONObject = [
        "input_file_id": .string(input), "endpoint": "/v1/completions", "completion_window": "24h",
      ]
      change(&body)
      return try api.post("/v1/batches", .object(body))
    }
    #expect(try ask { $0["input_file_id"] = "file-none" }.status == 404)
    #expect(try ask { $0["endpoint"] = "/v1/responses" }.status == 400)
    #expect(try ask { $0["completion_window"] = "1h" }.status == 400)
    #expect(try ask { $0["metadata"] = ["a": 1] }.status == 400)
    #expect(
      try ask { $0["metadata"] = .object(JSONObject((0..<17).map { ("\($0)", .string("x")) })) }.status == 400
    )
    #expect(try ask { $0["metadata"] = ["a": .string(String(repeating: "x", count: 513))] }.status == 400)
    #expect(temporary.state.batches.all.isEmpty)
    #expect(try api.get("/v1/batches/batch_none").status == 404)
    #expect(try api.post("/v1/batches/batch_none/cancel", [:]).status == 404)
    let ids = try (0..<5).map { _ in try #require(try ask { _ in }.json["id"]?.string) }
    let page = try api.get("/v1/batches").json
    #expect(page["data"]?.array?.compactMap { $0["id"]?.string } == ids.reversed())
    #expect(page["has_more"] == false)
    api.api.beginDrain()
    #expect(try ask { _ in }.status == 503)
    #expect(try api.get("/v1/batches/\(ids[0])").status == 200)
  }
}
