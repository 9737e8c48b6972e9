internal import Generation
internal import JSON

/// One token as the `logprobs` of an answer show it.
struct ShownToken: Sendable {
  var token: Int32
  var text: String
  /// Characters in front of it.
  var offset: Int
  /// nil for the first token of a prompt, which nothing predicts.
  var logprobs: AssembledToken?

  init(_ assembled: AssembledToken) {
    token = assembled.chosen.token
    text = assembled.chosen.text
    offset = assembled.offset
    logprobs = assembled
  }

  init(_ prompt: PromptText.Token) {
    token = prompt.token
    text = prompt.text
    offset = prompt.offset
    logprobs = prompt.logprobs
  }
}

/// Writes log-probabilities in the three forms of the API.
struct LogprobsFormat: Sendable {
  /// Alternatives shown.
  var count: Int
  /// Shows tokens as `token_id:N`.
  var showsTokenIDs: Bool

  /// JSON has no infinity; a token that cannot be sampled has this.
  static let floor: Float = -9999

  private func text(_ text: String, _ token: Int32) -> String { showsTokenIDs ? "token_id:\(token)" : text }

  /// Completions: four parallel arrays. An alternatives object has up to `count` + 1 entries: the chosen token is in
  /// it even when it is not among the most likely ones, with the very same number as in `token_logprobs`.
  func writeCompletion(_ tokens: [ShownToken], to writer: inout JSONWriter) {
    writer.key("logprobs")
    writer.beginObject()
    writer.key("text_offset")
    writer.beginArray()
    for token in tokens { writer.integer(token.offset) }
    writer.endArray()
    writer.key("token_logprobs")
    writer.beginArray()
    for token in tokens {
      if let chosen = token.logprobs?.chosen {
        writer.float(max(chosen.logprob, Self.floor))
      } else {
        writer.null()
      }
    }
    writer.endArray()
    writer.key("tokens")
    writer.beginArray()
    for token in tokens { writer.string(text(token.text, token.token)) }
    writer.endArray()
    writer.key("top_logprobs")
    writer.beginArray()
    for token in tokens {
      if let logprobs = token.logprobs { writeAlternatives(logprobs, to: &writer) } else { writer.null() }
    }
    writer.endArray()
    writer.endObject()
  }

  private func writeAlternatives(_ logprobs: AssembledToken, to writer: inout JSONWriter) {
    writer.beginObject()
    var names: [String] = []
    for entry in [logprobs.chosen] + logprobs.top.prefix(count) {
      let name = text(entry.text, entry.token)
      // Two tokens can have one text; an object has a key once, and the first is the likelier one.
      if names.contains(name) { continue }
      names.append(name)
      writer.key(name)
      writer.float(max(entry.logprob, Self.floor))
    }
    writer.endObject()
  }

  /// Chat: one object a token.
  func writeChat(_ tokens: [ShownToken], to writer: inout JSONWriter) {
    writer.key("logprobs")
    writer.beginObject()
    writer.key("content")
    writer.beginArray()
    for token in tokens {
      guard let logprobs = token.logprobs else { continue }
      writer.beginObject()
      writeEntry(logprobs.chosen, to: &writer)
      writer.key("top_logprobs")
      writer.beginArray()
      for entry in logprobs.top.prefix(count) {
        writer.beginObject()
        writeEntry(entry, to: &writer)
        writer.endObject()
      }
      writer.endArray()
      writer.endObject()
    }
    writer.endArray()
    writer.endObject()
  }

  private func writeEntry(_ entry: AssembledToken.Entry, to writer: inout JSONWriter) {
    writer.member("token", text(entry.text, entry.token))
    writer.key("logprob")
    writer.float(max(entry.logprob, Self.floor))
    writer.key("bytes")
    writer.beginArray()
    for byte in entry.bytes { writer.integer(byte) }
    writer.endArray()
  }

  /// `prompt_logprobs`: an object a prompt token, keyed by token id; null for the first.
  func writePrompt(_ tokens: [PromptText.Token], to writer: inout JSONWriter) {
    writer.key("prompt_logprobs")
    writer.beginArray()
    for token in tokens {
      guard let logprobs = token.logprobs else {
        writer.null()
        continue
      }
      writer.beginObject()
      var seen: [Int32] = []
      for entry in [logprobs.chosen] + logprobs.top.prefix(count) where !seen.contains(entry.token) {
        seen.append(entry.token)
        writer.key("\(entry.token)")
        writer.beginObject()
        writer.key("logprob")
        writer.float(max(entry.logprob, Self.floor))
        writer.member("rank", entry.rank)
        writer.member("decoded_token", entry.text)
        writer.endObject()
      }
      writer.endObject()
    }
    writer.endArray()
  }
}
