/// The key a request shows.
enum APIKey {
  /// From `Authorization: Bearer KEY`, or `X-Api-Key`.
  static func presented(by request: HTTPRequest) -> String? {
    if let authorization = request.headers["Authorization"] {
      let parts = authorization.split(separator: " ", maxSplits: 1)
      guard parts.count == 2, parts[0].lowercased() == "bearer" else { return nil }
      return String(parts[1].drop { $0 == " " })
    }
    return request.headers["X-Api-Key"]
  }

  /// Takes the same time wherever two keys differ.
  static func isSame(_ a: String, _ b: String) -> Bool {
    let a = Array(a.utf8)
    let b = Array(b.utf8)
    var difference = a.count ^ b.count
    for (index, byte) in a.enumerated() {
      difference |= Int(byte ^ (b.isEmpty ? 0 : b[index % b.count]))
    }
    return difference == 0
  }
}

/// What lets pages of other origins call the API from a browser.
enum CORS {
  static func addHeaders(to response: inout HTTPResponse, request: HTTPRequest, allowed: [String]) {
    guard !allowed.isEmpty, let origin = request.headers["Origin"] else { return }
    let isAny = allowed.contains("*")
    guard isAny || allowed.contains(origin) else { return }
    response.headers["Access-Control-Allow-Origin"] = isAny ? "*" : origin
    if !isAny { response.headers["Vary"] = "Origin" }
    guard request.method == "OPTIONS" else { return }
    response.headers["Access-Control-Allow-Methods"] = "GET, POST, DELETE, OPTIONS"
    response.headers["Access-Control-Allow-Headers"] =
      request.headers["Access-Control-Request-Headers"] ?? "Authorization, Content-Type"
    response.headers["Access-Control-Max-Age"] = "600"
  }
}
