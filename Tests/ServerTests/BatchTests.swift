import Glibc
import JSON
import TestSupport
import Testing

@testable import Generation
@testable import Server

@Suite("Batch runs")
struct BatchTests {
  /// A directory that is removed with everything in it.
  final class Directory {
    let path: String

    init() throws {
      var template = Array("/tmp/gpuinfer-batch-XXXXXX".utf8CString)
      let isMade = unsafe template.withUnsafeMutableBufferPointer { buffer in
        guard let start = buffer.baseAddress else { return false }
        return unsafe mkdtemp(start) != nil
      }
      try #require(isMade)
      path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
      for name in ["in.jsonl", "out.jsonl", "out2.jsonl"] { _ = unsafe unlink(path + "/" + name) }
      _ = unsafe rmdir(path)
    }

    var input: String { path + "/in.jsonl" }
    var output: String { path + "/out.jsonl" }

    func write(_ text: String, to file: String) throws {
      guard let handle = unsafe fopen(file, "wb") else {
        throw BatchError.cannotOpen(path: file, reason: "test")
      }
      unsafe fwrite(text, 1, text.utf8.count, handle)
      unsafe fclose(handle)
    }

    func read(_ file: String) throws -> String { String(decoding: try Fixtures.read(file), as: UTF8.self) }

    func lines(_ file: String? = nil) throws -> [JSONValue] {
      try read(file ?? output).split(separator: "\n").map { try JSONValue.parse(String($0)) }
    }
  }

  private func line(
    _ id: String, _ body: JSONValue = ["prompt": [5], "max_tokens": 3], url: String = "/v1/completions"
  )
    -> String
  {
    (["custom_id": .string(id), "method": "POST", "url": .string(url), "body": body] as JSONValue)
      .serialized()
  }

  private func run(
    _ directory: Directory, _ api: TestAPI, _ change: (inout BatchOptions) -> Void = { _ in }
  ) throws -> BatchReport {
    try BatchRunner(
      api.model, input: directory.input, output: directory.output, options: with(BatchOptions(), change)
    ).run()
  }

  @Test("Each line gets an answer of the API's shape", arguments: [1, 8])
  func answers(concurrency: Int) throws {
    let directory = try Directory()
    let chat = line(
      "chat", ["messages": [["role": "user", "content": "a"]], "max_tokens": 2], url: "/v1/chat/completions")
    let many = (0..<50).map { line("id-\($0)") }
    try directory.write((many + ["", chat]).joined(separator: "\n") + "\n", to: directory.input)
    let report = try run(directory, try TestAPI()) { $0.concurrency = concurrency }
    #expect(report == with(BatchReport()) { $0.completed = 51 })
    let lines = try directory.lines()
    #expect(Set(lines.compactMap { $0["custom_id"]?.string }) == Set((0..<50).map { "id-\($0)" } + ["chat"]))
    for line in lines {
      #expect(line["response"]?["status_code"] == 200)
      #expect(line["error"] == .null)
      #expect(line["id"]?.string?.isEmpty == false)
      #expect(line["response"]?["request_id"]?.string?.isEmpty == false)
      let isChat = line["custom_id"] == "chat"
      #expect(line["response"]?["body"]?["object"] == (isChat ? "chat.completion" : "text_completion"))
    }
  }

  @Test("Bad lines get an error line each, and the rest goes on")
  func badLines() throws {
    let directory = try Directory()
    let lines = [
      line("a"), "not json", "[]", #"{"method":"POST"}"#, line("a"), line("b", url: "/v1/embeddings"),
      line("c", ["prompt": [5], "temperature": 9]), line("d", ["prompt": [5], "stream": true]),
      #"{"custom_id":"e","method":"GET","url":"/v1/completions","body":{}}"#,
      #"{"custom_id":"f","method":"POST","url":"/v1/completions"}"#, String(repeating: "x", count: 5000),
    ]
    try directory.write(lines.joined(separator: "\r\n"), to: directory.input)
    let report = try run(directory, try TestAPI()) { $0.maximumLineBytes = 4000 }
    #expect(report.completed == 1)
    #expect(report.failed == 10)
    let output = try directory.lines()
    let errors = output.filter { $0["error"] != .null }
    #expect(Set(errors.compactMap { $0["error"]?["line"]?.int }) == Set(2...11))
    for error in errors {
      #expect(error["error"]?["message"]?.string?.isEmpty == false)
      #expect((400..<500).contains(error["response"]?["status_code"]?.int ?? 0))
      #expect(error["response"]?["body"]?["error"]?["message"] == error["error"]?["message"])
    }
    // The same again: nothing is left to do.
    let again = try run(directory, try TestAPI()) { $0.maximumLineBytes = 4000 }
    #expect(again == with(BatchReport()) { $0.skipped = 11 })
    #expect(try directory.lines() == output)
  }

  @Test(
    "A run killed at any byte of its output goes on without losing or repeating a line", arguments: 0..<40)
  func resume(seed: Int) throws {
    let directory = try Directory()
    let ids = (0..<20).map { "id-\($0)" }
    try directory.write(
      (ids.map { line($0) } + ["broken", line("id-3")]).joined(separator: "\n"), to: directory.input)
    _ = try run(directory, try TestAPI()) { $0.concurrency = 4 }
    let whole = try directory.read(directory.output)
    var generator = SeededGenerator(seed: UInt64(seed))
    let cut = Int.random(in: 0...whole.utf8.count, using: &generator)
    let kept = String(decoding: Array(whole.utf8).prefix(cut), as: UTF8.self)
    try directory.write(kept, to: directory.output)
    let wholeLines = kept.utf8.count { $0 == UInt8(ascii: "\n") }
    let report = try run(directory, try TestAPI()) { $0.concurrency = 4 }
    #expect(report.skipped == wholeLines)
    #expect(report.completed + report.failed == 22 - wholeLines)
    let lines = try directory.lines()
    #expect(
      lines.filter { $0["error"] == .null }.compactMap { $0["custom_id"]?.string }.sorted() == ids.sorted())
    #expect(lines.count { $0["error"] != .null } == 2)
    #expect(
      try directory.read(directory.output).hasPrefix(
        String(
          kept.split(separator: "\n", omittingEmptySubsequences: false).dropLast().joined(separator: "\n"))))
  }

  @Test("A cancelled run writes only what is complete, and can be taken up again")
  func cancellation() throws {
    let directory = try Directory()
    try directory.write((0..<10).map { line("id-\($0)") }.joined(separator: "\n"), to: directory.input)
    let api = try TestAPI(script: { request in
      // The third request never ends.
      FakeStream(
        events: request.sampling.seed == 7 ? [] : FakeService.events(for: request),
        isComplete: request.sampling.seed != 7)
    })
    try directory.write(
      [line("a"), line("b"), line("hang", ["prompt": [5], "seed": 7]), line("c")].joined(separator: "\n"),
      to: directory.input)
    let runner = try BatchRunner(
      api.model, input: directory.input, output: directory.output,
      options: with(BatchOptions()) { $0.concurrency = 1 })
    let result = Monitor<BatchReport?>(nil)
    let thread = Thread {
      let report = try? runner.run()
      result.update { $0 = report ?? BatchReport() }
    }
    _ = api.service.submissions(count: 3)
    runner.cancel()
    let report = result.wait(timeoutMilliseconds: Patience.milliseconds, until: { $0 != nil }, then: { $0 })
    if let thread { thread.join() }
    #expect(report?.isCancelled == true)
    #expect(try directory.lines().compactMap { $0["custom_id"]?.string } == ["a", "b"])
  }

  @Test("After a cancelled run, the next one does the rest")
  func afterCancellation() throws {
    let directory = try Directory()
    try directory.write([line("a"), line("b")].joined(separator: "\n"), to: directory.input)
    let runner = try BatchRunner(try TestAPI().model, input: directory.input, output: directory.output)
    // The runner holds the output from its making to the end of its run.
    #expect(throws: BatchError.outputInUse(path: directory.output)) { try run(directory, try TestAPI()) }
    runner.cancel()
    #expect(try runner.run() == with(BatchReport()) { $0.isCancelled = true })
    #expect(try directory.read(directory.output) == "")
    #expect(try run(directory, try TestAPI()).completed == 2)
  }

  @Test("Shards are disjoint and together all lines")
  func shards() throws {
    let directory = try Directory()
    try directory.write((0..<31).map { line("id-\($0)") }.joined(separator: "\n"), to: directory.input)
    var seen: [String] = []
    for index in 0..<3 {
      _ = unsafe unlink(directory.output)
      _ = try run(directory, try TestAPI()) { $0.shard = .init(index: index, count: 3) }
      seen += try directory.lines().compactMap { $0["custom_id"]?.string }
    }
    #expect(seen.sorted() == (0..<31).map { "id-\($0)" }.sorted())
    #expect(throws: BatchError.self) {
      try run(directory, try TestAPI()) { $0.shard = .init(index: 3, count: 3) }
    }
  }

  @Test("A full queue is waited for; a dead engine ends the run without error lines")
  func engineTrouble() throws {
    let directory = try Directory()
    try directory.write([line("a"), line("b")].joined(separator: "\n"), to: directory.input)
    let refusals = Monitor(5)
    let busy = try TestAPI(script: { request throws(SubmissionError) in
      let isFull = refusals.withLock { count in
        count -= 1
        return count >= 0
      }
      if isFull { throw .overloaded(retryAfterSeconds: 1) }
      return FakeService.generate(request)
    })
    #expect(try run(directory, busy).completed == 2)
    _ = unsafe unlink(directory.output)
    let dead = try TestAPI(script: { _ throws(SubmissionError) in throw .stopped("out of memory") })
    #expect(throws: BatchError.engineStopped("The engine has stopped: out of memory")) {
      try run(directory, dead)
    }
    #expect(try directory.read(directory.output) == "")
  }

  @Test("Files that cannot be are refused by name")
  func badFiles() throws {
    let directory = try Directory()
    let api = try TestAPI()
    #expect(throws: BatchError.cannotOpen(path: directory.input, reason: "No such file or directory")) {
      try run(directory, api)
    }
    try directory.write(line("a"), to: directory.input)
    try directory.write("some notes\n", to: directory.output)
    #expect(throws: BatchError.self) { try run(directory, api) }
    #expect(try directory.read(directory.output) == "some notes\n")
    #expect(throws: BatchError.self) {
      try BatchRunner(api.model, input: directory.input, output: "/dev/full").run()
    }
  }

  @Test(
    "Lines of any length come through a small buffer", arguments: [0, 1, 65_535, 65_536, 65_537, 200_000])
  func lineReader(length: Int) throws {
    let directory = try Directory()
    let long = String(repeating: "x", count: length)
    try directory.write("a\n\(long)\nb", to: directory.input)
    let reader = try LineReader(path: directory.input, maximumLineBytes: 300_000)
    #expect(try reader.next() == .bytes(Array("a".utf8), isComplete: true))
    #expect(try reader.next() == .bytes(Array(long.utf8), isComplete: true))
    #expect(reader.offset == length + 3)
    #expect(try reader.next() == .bytes(Array("b".utf8), isComplete: false))
    #expect(try reader.next() == nil)
  }
}
