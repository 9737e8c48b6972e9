/// Every path of the API: the router, the metrics' `handler` label, `/openapi.json` and the tests walk this table.
package enum Route: String, CaseIterable, Sendable {
  case completions = "/v1/completions"
  case chatCompletions = "/v1/chat/completions"
  case embeddings = "/v1/embeddings"
  case models = "/v1/models"
  case model = "/v1/models/{model}"
  case loadAdapter = "/v1/load_lora_adapter"
  case unloadAdapter = "/v1/unload_lora_adapter"
  case files = "/v1/files"
  case file = "/v1/files/{file_id}"
  case fileContent = "/v1/files/{file_id}/content"
  case batches = "/v1/batches"
  case batch = "/v1/batches/{batch_id}"
  case batchCancel = "/v1/batches/{batch_id}/cancel"
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
    case .completions, .chatCompletions, .embeddings, .loadAdapter, .unloadAdapter, .tokenize, .detokenize,
      .batchCancel:
      ["POST"]
    case .ping, .files, .batches: ["GET", "POST"]
    case .file: ["GET", "DELETE"]
    default: ["GET"]
    }
  }

  /// Answered without a key: an orchestrator's probes have none.
  package var isOpen: Bool { self == .health || self == .ready }

  /// The text around a path's parameter, and its name; nil for a path without one.
  package var parameter: (prefix: Substring, name: Substring, suffix: Substring)? {
    guard let start = rawValue.firstIndex(of: "{"), let end = rawValue.firstIndex(of: "}") else { return nil }
    return (
      rawValue[..<start], rawValue[rawValue.index(after: start)..<end],
      rawValue[rawValue.index(after: end)...]
    )
  }

  /// What the server keeps across restarts.
  package var needsState: Bool {
    switch self {
    case .files, .file, .fileContent, .batches, .batch, .batchCancel: true
    default: false
    }
  }

  /// The route of a path and what stands for its parameter.
  package static func match(_ path: String) -> (route: Route, parameter: String)? {
    let trimmed = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    if let route = Route(rawValue: trimmed), route.parameter == nil { return (route, "") }
    for route in allCases {
      guard let (prefix, _, suffix) = route.parameter else { continue }
      // Names of models may contain slashes, and end with one.
      let text = route == .model ? path : trimmed
      guard text.hasPrefix(prefix), text.hasSuffix(suffix),
        text.utf8.count > prefix.utf8.count + suffix.utf8.count
      else { continue }
      let value = text.dropFirst(prefix.count).dropLast(suffix.count)
      if route == .model || !value.contains("/") { return (route, String(value)) }
    }
    return nil
  }
}
