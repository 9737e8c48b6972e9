internal import JSON

enum RequestBody {
  /// The body as a JSON object.
  static func object(_ request: HTTPRequest) throws(APIError) -> JSONObject {
    let type = request.headers["Content-Type"] ?? ""
    let media = type.prefix { $0 != ";" }.trimmed.lowercased()
    guard media == "application/json" || (media.hasPrefix("application/") && media.hasSuffix("+json")) else {
      throw APIError(
        400, .badRequest,
        "Unsupported media type '\(media.prefix(80))': send the request's body as application/json.",
        parameter: "Content-Type")
    }
    return try object(bytes: request.body)
  }

  static func object(bytes: [UInt8]) throws(APIError) -> JSONObject {
    let value: JSONValue
    do {
      value = try JSONValue.parse(bytes)
    } catch {
      throw APIError(400, .badShape, "The request's body is not JSON: \(error)", parameter: "body")
    }
    guard let object = value.object else {
      throw .shape("expected an object, found a value of type \(value.kind.rawValue)", path: "body")
    }
    return object
  }
}

extension Substring {
  fileprivate var trimmed: Substring {
    var rest = self.drop { $0 == " " || $0 == "\t" }
    while rest.last == " " || rest.last == "\t" { rest.removeLast() }
    return rest
  }
}
