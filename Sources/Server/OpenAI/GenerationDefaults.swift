package import JSON

/// What a request leaves open: the checkpoint's `generation_config.json`, or vLLM's own defaults.
package struct GenerationDefaults: Sendable, Equatable {
  package var temperature = 1.0
  package var topP = 1.0
  package var topK = 0
  package var minP = 0.0
  package var repetitionPenalty = 1.0
  /// Caps requests that name no maximum.
  package var maxNewTokens: Int?
  /// What came from the checkpoint, for the start log.
  package private(set) var overridden: [String] = []

  package init() {}

  /// Values out of a field's bounds are left out and named in `ignored`: a checkpoint's file must not make every
  /// request fail.
  package init(generationConfiguration: JSONValue?, ignored: inout [String]) {
    guard let configuration = generationConfiguration else { return }
    for (name, apply) in Self.fields {
      guard let value = configuration[name], !value.isNull else { continue }
      if apply(&self, value) {
        overridden.append("\(name)=\(value.serialized())")
      } else {
        ignored.append(name)
      }
    }
  }

  private static var fields: [(String, (inout GenerationDefaults, JSONValue) -> Bool)] {
    [
      ("temperature", { set(&$0.temperature, $1.double) { $0 >= 0 && $0 <= 2 } }),
      ("top_p", { set(&$0.topP, $1.double) { $0 > 0 && $0 <= 1 } }),
      ("top_k", { set(&$0.topK, $1.int) { $0 >= -1 } }),
      ("min_p", { set(&$0.minP, $1.double) { $0 >= 0 && $0 <= 1 } }),
      ("repetition_penalty", { set(&$0.repetitionPenalty, $1.double) { $0 > 0 && $0.isFinite } }),
      ("max_new_tokens", { set(&$0.maxNewTokens, $1.int) { ($0 ?? 0) >= 1 } }),
    ]
  }

  private static func set<Value>(_ field: inout Value, _ value: Value?, if isValid: (Value) -> Bool) -> Bool {
    guard let value, isValid(value) else { return false }
    field = value
    return true
  }

  /// One line for the start log: people are surprised by defaults they did not set.
  package var summary: String {
    overridden.isEmpty
      ? "requests default to temperature 1, top_p 1, no top_k"
      : "requests default to the checkpoint's generation_config.json: " + overridden.joined(separator: ", ")
        + " (--generation-config vllm turns this off)"
  }
}
