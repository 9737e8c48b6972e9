internal import Generation
internal import JSON

/// What all parts of an answer carry.
struct AnswerIdentity: Sendable {
  /// `cmpl-…`, `chatcmpl-…`
  let id: String
  /// Unix seconds.
  let created: Int
  let model: String
  let fingerprint: String

  /// - Parameter ending: writes `id` to `system_fingerprint` as members of an open object.
  func write(object: String, to writer: inout JSONWriter) {
    writer.member("id", id)
    writer.member("object", object)
    writer.member("created", created)
    writer.member("model", model)
    writer.member("system_fingerprint", fingerprint)
  }
}

struct Usage: Sendable {
  var promptTokens: Int
  var completionTokens: Int
  /// nil leaves the details out.
  var cachedTokens: Int?
  /// Tokens that were predicted and turned out right or wrong; nil leaves the details out.
  var predictions: (accepted: Int, rejected: Int)?

  func write(to writer: inout JSONWriter) {
    writer.key("usage")
    writer.beginObject()
    writer.member("prompt_tokens", promptTokens)
    writer.member("total_tokens", promptTokens + completionTokens)
    writer.member("completion_tokens", completionTokens)
    if let cachedTokens {
      writer.key("prompt_tokens_details")
      writer.beginObject()
      writer.member("cached_tokens", cachedTokens)
      writer.endObject()
    }
    if let predictions {
      writer.key("completion_tokens_details")
      writer.beginObject()
      writer.member("accepted_prediction_tokens", predictions.accepted)
      writer.member("rejected_prediction_tokens", predictions.rejected)
      writer.endObject()
    }
    writer.endObject()
  }
}

extension GenerationRun {
  var usage: Usage {
    Usage(
      promptTokens: plan.prompts.reduce(0) { $0 + $1.tokens.count }, completionTokens: completionTokens,
      cachedTokens: cachedTokens, predictions: (drafts.accepted, drafts.refused))
  }

  /// The counts of one choice so far.
  func usage(ofChoice choice: Int) -> Usage {
    Usage(
      promptTokens: plan.prompts[choice / plan.options.choices].tokens.count,
      completionTokens: completionTokens(ofChoice: choice))
  }
}

extension TextEnd {
  /// `finish_reason`; nil for a failure, which is told as an error.
  var reason: String? {
    switch self {
    case .endOfText, .stopToken, .stopString: "stop"
    case .length: "length"
    case .aborted: "abort"
    case .failed: nil
    }
  }

  /// `stop_reason`: the stop string or stop token; null for the model's own end.
  var stopReason: JSONValue {
    switch self {
    case .stopToken(let token): .integer(Int64(token))
    case .stopString(let text): .string(text)
    default: .null
    }
  }
}

extension JSONWriter {
  /// - Parameter callsTools: the output is calls of tools, so that it stopped for them.
  mutating func writeEnd(_ end: TextEnd?, callsTools: Bool = false) {
    key("finish_reason")
    if let reason = end?.reason {
      string(callsTools && reason == "stop" ? "tool_calls" : reason)
    } else {
      null()
    }
    member("stop_reason", end?.stopReason ?? .null)
  }

  mutating func writeTokens(_ name: String, _ tokens: some Sequence<Int32>) {
    key(name)
    beginArray()
    for token in tokens { integer(token) }
    endArray()
  }
}
