internal import JSON

/// One request of a batch file:
/// `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{…}}`.
struct BatchLine {
  let customID: String
  let route: Route
  let body: JSONObject

  /// A line that is not a request. Without a usable `customID` it is known by its number only.
  struct Malformed: Error, Equatable {
    var customID: String?
    var error: APIError
  }

  init(_ bytes: [UInt8]) throws(Malformed) {
    let value: JSONValue
    do {
      value = try JSONValue.parse(bytes)
    } catch {
      throw Malformed(error: APIError(400, .badShape, "The line is not JSON: \(error)"))
    }
    guard let line = value.object else {
      throw Malformed(
        error: .shape("expected an object, found a value of type \(value.kind.rawValue)", path: "line"))
    }
    guard let id = line["custom_id"]?.string, !id.isEmpty else {
      throw Malformed(error: .shape("expected a non-empty string", path: "custom_id"))
    }
    customID = id
    if let method = line["method"], method != "POST" {
      throw Malformed(customID: id, error: .invalid("method must be POST.", "method", value: method))
    }
    let url = line["url"] ?? .null
    switch url.string {
    case "/v1/completions": route = .completions
    case "/v1/chat/completions": route = .chatCompletions
    case "/v1/embeddings": route = .embeddings
    default:
      throw Malformed(
        customID: id,
        error: .invalid(
          "url must be /v1/completions, /v1/chat/completions or /v1/embeddings.", "url", value: url))
    }
    guard let body = line["body"]?.object else {
      throw Malformed(customID: id, error: .shape("expected an object", path: "body"))
    }
    guard body["stream"] == nil || body["stream"] == false || body["stream"] == .null else {
      throw Malformed(customID: id, error: .invalid("stream is not available in batches.", "stream"))
    }
    self.body = body
  }

  /// `{"id":…,"custom_id":…,"response":{"status_code":…,"request_id":…,"body":…},"error":…}`
  static func output(
    customID: String?, result: Result<[UInt8], APIError>, line: Int, code: String? = nil
  ) -> [UInt8] {
    var writer = JSONWriter()
    writer.beginObject()
    writer.member("id", "batch_req_" + OpenAIServer.randomHex())
    writer.member("custom_id", customID.map { .string($0) } ?? .null)
    writer.key("response")
    writer.beginObject()
    var failure: APIError?
    if case .failure(let error) = result { failure = error }
    writer.member("status_code", failure?.status ?? 200)
    writer.member("request_id", "gpuinfer-batch-" + OpenAIServer.randomHex())
    writer.key("body")
    switch result {
    case .success(let json): writer.raw(json)
    case .failure(let error): writer.value(error.json)
    }
    writer.endObject()
    writer.key("error")
    if let failure {
      writer.value([
        "code": .string(code ?? failure.kind.rawValue), "message": .string(failure.message),
        "param": failure.parameter.map { .string($0) } ?? .null, "line": .integer(Int64(line)),
      ])
    } else {
      writer.null()
    }
    writer.endObject()
    return writer.bytes
  }
}
