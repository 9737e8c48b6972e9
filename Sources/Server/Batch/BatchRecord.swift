package import JSON

/// One batch of the Batches API: what clients are shown, and what survives a restart.
package struct BatchRecord: Sendable, Equatable {
  package enum Status: String, Sendable, CaseIterable {
    case validating, failed
    case inProgress = "in_progress"
    case finalizing, completed, expired, cancelling, cancelled

    /// Nothing will change any more.
    package var isOver: Bool {
      switch self {
      case .failed, .completed, .expired, .cancelled: true
      case .validating, .inProgress, .finalizing, .cancelling: false
      }
    }
  }

  /// Why a batch failed: a line of the input, or all of it.
  package struct Problem: Sendable, Equatable {
    package var code: String
    package var message: String
    package var parameter: String?
    /// From 1.
    package var line: Int?
  }

  package struct Counts: Sendable, Equatable {
    package var total = 0
    package var completed = 0
    package var failed = 0
  }

  package let id: String
  package let endpoint: String
  package let inputFile: String
  package let metadata: JSONValue
  /// Orders batches of one second.
  package let number: Int
  package internal(set) var status = Status.validating
  package internal(set) var problems: [Problem] = []
  package internal(set) var counts = Counts()
  package internal(set) var outputFile: String?
  package internal(set) var errorFile: String?
  /// What follows once the files are written; nil before.
  package internal(set) var outcome: Status?
  /// Unix seconds, by the status that began then.
  package internal(set) var times: [Status: Int] = [:]
  package let expiresAt: Int

  static let windowSeconds = 86_400

  init(id: String, endpoint: String, inputFile: String, metadata: JSONValue, number: Int, now: Int) {
    self.id = id
    self.endpoint = endpoint
    self.inputFile = inputFile
    self.metadata = metadata
    self.number = number
    expiresAt = now + Self.windowSeconds
    times[.validating] = now
  }

  var createdAt: Int { times[.validating] ?? 0 }

  mutating func enter(_ status: Status, now: Int) {
    self.status = status
    times[status] = now
  }

  // MARK: JSON

  /// The object of OpenAI's API.
  package var json: JSONValue {
    func time(_ status: Status) -> JSONValue { times[status].map { .integer(Int64($0)) } ?? .null }
    func text(_ value: String?) -> JSONValue { value.map { .string($0) } ?? .null }
    var errors = JSONValue.null
    if !problems.isEmpty {
      errors = [
        "object": "list",
        "data": .array(
          problems.map {
            [
              "code": .string($0.code), "message": .string($0.message), "param": text($0.parameter),
              "line": $0.line.map { .integer(Int64($0)) } ?? .null,
            ]
          }),
      ]
    }
    return [
      "id": .string(id), "object": "batch", "endpoint": .string(endpoint), "errors": errors,
      "input_file_id": .string(inputFile), "completion_window": "24h", "status": .string(status.rawValue),
      "output_file_id": status.isOver ? text(outputFile) : .null,
      "error_file_id": status.isOver ? text(errorFile) : .null,
      "created_at": .integer(Int64(createdAt)), "in_progress_at": time(.inProgress),
      "expires_at": .integer(Int64(expiresAt)), "finalizing_at": time(.finalizing),
      "completed_at": time(.completed), "failed_at": time(.failed), "expired_at": time(.expired),
      "cancelling_at": time(.cancelling), "cancelled_at": time(.cancelled),
      "request_counts": [
        "total": .integer(Int64(counts.total)), "completed": .integer(Int64(counts.completed)),
        "failed": .integer(Int64(counts.failed)),
      ], "metadata": metadata,
    ]
  }

  /// The same with what only the server needs.
  var stored: JSONValue {
    var object = json.object ?? [:]
    object["number"] = .integer(Int64(number))
    object["outcome"] = outcome.map { .string($0.rawValue) } ?? .null
    object["output_file_id"] = outputFile.map { .string($0) } ?? .null
    object["error_file_id"] = errorFile.map { .string($0) } ?? .null
    return .object(object)
  }

  /// nil where a field is missing or wrong.
  init?(stored json: JSONValue) {
    guard let id = json["id"]?.string, StateIdentifier.isBatch(id), let endpoint = json["endpoint"]?.string,
      let inputFile = json["input_file_id"]?.string, StateIdentifier.isFile(inputFile),
      let number = json["number"]?.int, let expiresAt = json["expires_at"]?.int,
      let status = json["status"]?.string.flatMap({ Status(rawValue: $0) })
    else { return nil }
    (self.id, self.endpoint, self.inputFile, self.number) = (id, endpoint, inputFile, number)
    (self.expiresAt, self.status) = (expiresAt, status)
    metadata = json["metadata"] ?? .null
    outcome = json["outcome"]?.string.flatMap { Status(rawValue: $0) }
    outputFile = json["output_file_id"]?.string
    errorFile = json["error_file_id"]?.string
    for (status, field) in [
      (Status.validating, "created_at"), (.inProgress, "in_progress_at"), (.finalizing, "finalizing_at"),
      (.completed, "completed_at"), (.failed, "failed_at"), (.expired, "expired_at"),
      (.cancelling, "cancelling_at"), (.cancelled, "cancelled_at"),
    ] {
      if let time = json[field]?.int { times[status] = time }
    }
    for problem in json["errors"]?["data"]?.array ?? [] {
      problems.append(
        Problem(
          code: problem["code"]?.string ?? "", message: problem["message"]?.string ?? "",
          parameter: problem["param"]?.string, line: problem["line"]?.int))
    }
    let counts = json["request_counts"]
    self.counts = Counts(
      total: counts?["total"]?.int ?? 0, completed: counts?["completed"]?.int ?? 0,
      failed: counts?["failed"]?.int ?? 0)
  }
}
