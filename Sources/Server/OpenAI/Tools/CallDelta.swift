internal import JSON

/// What one event of a stream says about a call.
struct CallDelta {
  var index: Int
  /// With the first piece only.
  var name: String?
  var arguments = ""

  /// The `tool_calls` of a `delta`; nothing when there are none.
  static func write(_ calls: [CallDelta], to writer: inout JSONWriter) {
    if calls.isEmpty { return }
    writer.key("tool_calls")
    writer.beginArray()
    for call in calls {
      writer.beginObject()
      writer.member("index", call.index)
      if call.name != nil {
        writer.member("id", ToolUse.newID())
        writer.member("type", "function")
      }
      writer.key("function")
      writer.beginObject()
      if let name = call.name { writer.member("name", name) }
      writer.member("arguments", call.arguments)
      writer.endObject()
      writer.endObject()
    }
    writer.endArray()
  }
}

extension ToolUse {
  static func newID() -> String { "chatcmpl-tool-" + OpenAIServer.randomHex() }

  /// Whether an answer that stopped did so for its calls. (One of a named function keeps `stop`, as in vLLM.)
  func endsWithCalls(_ count: Int) -> Bool {
    switch self {
    case .auto, .required: count > 0
    case .none, .named: false
    }
  }
}
