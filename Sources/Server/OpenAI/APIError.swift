package import JSON

/// A failure told to a client: `{"error":{"message","type","param","code"}}` with the HTTP status as code.
package struct APIError: Error, Equatable, Sendable {
  package var status: Int
  package var kind: Kind
  package var message: String
  /// The request field at fault.
  package var parameter: String?
  package var retryAfterSeconds: Int?

  /// The `type` of the error object; clients switch on these names.
  package enum Kind: String, Sendable, CaseIterable {
    /// The body does not have the shape that the schema asks for.
    case badShape = "Bad Request"
    case badRequest = "BadRequestError"
    case unauthorized = "AuthenticationError"
    case notFound = "NotFoundError"
    case pathNotFound = "Not Found"
    case methodNotAllowed = "Method Not Allowed"
    case bodyTooLarge = "RequestEntityTooLargeError"
    case overloaded = "RateLimitError"
    case cancelled = "ClientClosedRequest"
    case notImplemented = "NotImplementedError"
    case unavailable = "ServiceUnavailableError"
    case internalFailure = "InternalServerError"
  }

  package init(
    _ status: Int, _ kind: Kind, _ message: String, parameter: String? = nil, retryAfterSeconds: Int? = nil
  ) {
    self.status = status
    self.kind = kind
    self.message = message
    self.parameter = parameter
    self.retryAfterSeconds = retryAfterSeconds
  }

  package var json: JSONValue {
    [
      "error": [
        "message": .string(message), "type": .string(kind.rawValue),
        "param": parameter.map { .string($0) } ?? .null, "code": .integer(Int64(status)),
      ]
    ]
  }

  package var response: HTTPResponse {
    var response = HTTPResponse.json(json, status: status)
    if let retryAfterSeconds { response.headers["Retry-After"] = String(retryAfterSeconds) }
    if status == 401 { response.headers["WWW-Authenticate"] = "Bearer" }
    return response
  }
}

extension APIError {
  /// The value has the right shape but may not be.
  package static func invalid(_ message: String, _ parameter: String, value: JSONValue? = nil) -> APIError {
    var text = message
    if let value { text += " (parameter=\(parameter), value=\(shown(value)))" }
    return APIError(400, .badRequest, text, parameter: parameter)
  }

  /// The value at this path of the body has the wrong shape.
  package static func shape(_ message: String, path: String) -> APIError {
    APIError(400, .badShape, "\(path): \(message)", parameter: path)
  }

  package static func unsupported(_ message: String, _ parameter: String) -> APIError {
    APIError(400, .badRequest, message, parameter: parameter)
  }

  /// A request's own text comes back shortened, so that an error is never larger than what caused it.
  private static func shown(_ value: JSONValue) -> String {
    let text = value.serialized()
    return text.count <= 80 ? text : text.prefix(77) + "..."
  }
}

extension HTTPResponse {
  package static func json(_ value: JSONValue, status: Int = 200) -> HTTPResponse {
    var bytes: [UInt8] = []
    value.write(into: &bytes)
    return .json(bytes: bytes, status: status)
  }

  package static func json(bytes: [UInt8], status: Int = 200) -> HTTPResponse {
    HTTPResponse(status: status, headers: ["Content-Type": "application/json"], body: bytes)
  }
}
