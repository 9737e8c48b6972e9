internal import JSON

/// Divides a batch's answers, which stand in one file in the order they came, into the two files of the API.
struct BatchResults {
  let files: FileStore
  /// What `BatchRunner` wrote.
  let answers: String

  /// Writes the answers of status 200 and the others; a file without lines is not made.
  ///
  /// Done again after a crash it writes the same.
  ///
  /// - Parameter expired: the input, where the time ran out: its requests without an answer get an error line.
  /// - Returns: which of the two files are there.
  func divide(
    _ record: BatchRecord, expired input: String?
  ) throws(StateError) -> (output: Bool, errors: Bool) {
    var finished: Set<String> = []
    let output = try write(record, record.outputFile, "output") { (file) throws(StateError) in
      try eachAnswer { line, json throws(StateError) in
        if let id = json["custom_id"]?.string { finished.insert(id) }
        if json["response"]?["status_code"] == 200 { try file.append(line + [10]) }
      }
    }
    let errors = try write(record, record.errorFile, "error") { (file) throws(StateError) in
      try eachAnswer { line, json throws(StateError) in
        if json["response"]?["status_code"] != 200 { try file.append(line + [10]) }
      }
      if let input { try appendExpired(input, finished, to: &file) }
    }
    return (output, errors)
  }

  private func write(
    _ record: BatchRecord, _ id: String?, _ kind: String,
    _ fill: (inout DurableFile) throws(StateError) -> Void
  ) throws(StateError) -> Bool {
    guard let id else { return false }
    let file = try files.create(
      id: id, filename: "\(record.id)_\(kind).jsonl", purpose: "batch_output", fill)
    if file.bytes > 0 { return true }
    _ = try files.remove(id)
    return false
  }

  private func eachAnswer(
    _ body: ([UInt8], JSONValue) throws(StateError) -> Void
  ) throws(StateError) {
    let reader: LineReader
    do throws(BatchError) { reader = try LineReader(path: answers, maximumLineBytes: Int.max) } catch {
      // No line was answered.
      return
    }
    while case .bytes(let line, let isComplete)? = try next(reader) {
      if !isComplete { return }
      let json: JSONValue
      do throws(JSONError) { json = try JSONValue.parse(line) } catch {
        throw .damaged(path: answers, reason: "\(error)")
      }
      try body(line, json)
    }
  }

  private func next(_ reader: LineReader) throws(StateError) -> LineReader.Line? {
    do throws(BatchError) { return try reader.next() } catch {
      throw .cannotRead(path: answers, reason: "\(error)")
    }
  }

  private func appendExpired(
    _ input: String, _ finished: Set<String>, to file: inout DurableFile
  ) throws(StateError) {
    let reader: LineReader
    do throws(BatchError) {
      reader = try LineReader(path: input, maximumLineBytes: BatchOptions().maximumLineBytes)
    } catch { throw .cannotRead(path: input, reason: "\(error)") }
    while let line = try next(reader) {
      guard case .bytes(let bytes, _) = line, let request = try? BatchLine(bytes),
        !finished.contains(request.customID)
      else { continue }
      let json: JSONValue = [
        "id": .string("batch_req_" + OpenAIServer.randomHex()), "custom_id": .string(request.customID),
        "response": .null,
        "error": [
          "code": "batch_expired",
          "message": "This request could not be executed before the completion window expired.",
        ],
      ]
      var text: [UInt8] = []
      json.write(into: &text)
      try file.append(text + [10])
    }
  }
}
