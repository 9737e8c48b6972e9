/// Every path of the API: the router, the metrics' `handler` label, `/openapi.json` and the tests walk this table.
package enum Route: String, CaseIterable, Sendable {
  case completions = "/v1/completions"
  case chatCompletions = "/v1/chat/completions"
  case models = "/v1/models"
  case model = "/v1/models/{model}"
  case tokenize = "/tokenize"
  case detokenize = "/detokenize"
  case tokenizerInformation = "/tokenizer_info"
  case health = "/health"
  case ready = "/ready"
  case version = "/version"
  case load = "/load"
  case ping = "/ping"
  case metrics = "/metrics"
  case openAPI = "/openapi.json"

  package var template: String { rawValue }

  /// HEAD goes with GET, OPTIONS with everything.
  package var methods: [String] {
    switch self {
    case .completions, .chatCompletions, .tokenize, .detokenize: ["POST"]
    case .ping: ["GET", "POST"]
    default: ["GET"]
    }
  }

  /// Answered without a key: an orchestrator's probes have none.
  package var isOpen: Bool { self == .health || self == .ready }

  private static let modelPrefix = "/v1/models/"

  /// The route of a path and what stands for its parameter. Model names may contain slashes.
  package static func match(_ path: String) -> (route: Route, parameter: String)? {
    let trimmed = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    if let route = Route(rawValue: trimmed), route != .model { return (route, "") }
    guard path.hasPrefix(modelPrefix), path.utf8.count > modelPrefix.utf8.count else { return nil }
    return (.model, String(path.dropFirst(modelPrefix.count)))
  }
}
