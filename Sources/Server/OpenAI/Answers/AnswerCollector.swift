internal import Generation
internal import JSON

/// Gathers a run's updates into one answer.
struct AnswerCollector {
  struct Choice {
    var text = ""
    var reader: ToolCallReader
    var calls: [(name: String, arguments: String)] = []
    var shown: [ShownToken] = []
    var tokens: [Int32] = []
    var end: TextEnd?
  }
  private let plan: GenerationPlan
  private var choices: [Choice]
  private var prompts: [PromptText?]

  init(_ plan: GenerationPlan) {
    self.plan = plan
    choices = Array(repeating: Choice(reader: ToolCallReader(plan.tools)), count: plan.choiceCount)
    prompts = Array(repeating: nil, count: plan.prompts.count)
  }

  mutating func take(_ update: AnswerUpdate) {
    switch update {
    case .prompt(let index, let text, _): prompts[index] = text
    case .delta(let choice, let token, let delta):
      choices[choice].add(delta)
      if let logprobs = delta.logprobs { choices[choice].shown.append(ShownToken(logprobs)) }
      if let token { choices[choice].tokens.append(token) }
      if let end = delta.end { choices[choice].end = end }
    }
  }

  /// Why the engine could not finish some choice.
  var failure: String? {
    for choice in choices { if case .failed(let message) = choice.end { return message } }
    return nil
  }

  /// Some choice was cancelled before its end.
  var wasAborted: Bool { choices.contains { $0.end == .aborted } }

  func json(_ identity: AnswerIdentity, usage: Usage) -> [UInt8] {
    var writer = JSONWriter()
    writer.beginObject()
    identity.write(object: plan.form == .completion ? "text_completion" : "chat.completion", to: &writer)
    if plan.form == .chat { writer.member("service_tier", .null) }
    writer.key("choices")
    writer.beginArray()
    for (index, choice) in choices.enumerated() {
      let prompt = index / plan.options.choices
      writer.beginObject()
      writer.member("index", index)
      switch plan.form {
      case .completion: writeCompletion(choice, prompts[prompt], to: &writer)
      case .chat: writeMessage(choice, to: &writer)
      }
      writer.writeEnd(choice.end, callsTools: plan.tools.endsWithCalls(choice.calls.count))
      if plan.options.returnsTokenIDs {
        writer.writeTokens("token_ids", choice.tokens)
      } else {
        writer.member("token_ids", .null)
      }
      if plan.form == .completion { writePromptDetails(prompt, to: &writer) }
      writer.endObject()
    }
    writer.endArray()
    usage.write(to: &writer)
    if plan.form == .chat { writePromptDetails(0, to: &writer) }
    writer.member("kv_transfer_params", .null)
    writer.endObject()
    return writer.bytes
  }

  private func writeCompletion(_ choice: Choice, _ prompt: PromptText?, to writer: inout JSONWriter) {
    writer.member("text", (plan.echoes ? prompt?.text ?? "" : "") + choice.text)
    if let count = plan.logprobs {
      let echoed = plan.echoes ? (prompt?.tokens ?? []).map { ShownToken($0) } : []
      LogprobsFormat(count: count, showsTokenIDs: plan.options.showsTokenIDs)
        .writeCompletion(echoed + choice.shown, to: &writer)
    } else {
      writer.member("logprobs", .null)
    }
  }

  private func writeMessage(_ choice: Choice, to writer: inout JSONWriter) {
    writer.key("message")
    writer.beginObject()
    writer.member("role", "assistant")
    if choice.text.isEmpty, !choice.calls.isEmpty {
      writer.member("content", .null)
    } else {
      writer.member("content", choice.text)
    }
    if !choice.calls.isEmpty {
      writer.key("tool_calls")
      writer.beginArray()
      for call in choice.calls {
        writer.beginObject()
        writer.member("id", ToolUse.newID())
        writer.member("type", "function")
        writer.key("function")
        writer.beginObject()
        writer.member("name", call.name)
        writer.member("arguments", call.arguments)
        writer.endObject()
        writer.endObject()
      }
      writer.endArray()
    }
    for name in ["refusal", "annotations", "audio", "function_call", "reasoning"] {
      writer.member(name, .null)
    }
    writer.endObject()
    if let count = plan.logprobs {
      LogprobsFormat(count: count, showsTokenIDs: plan.options.showsTokenIDs).writeChat(
        choice.shown, to: &writer)
    } else {
      writer.member("logprobs", .null)
    }
  }

  private func writePromptDetails(_ index: Int, to writer: inout JSONWriter) {
    if let count = plan.options.promptLogprobs, let prompt = prompts[index] {
      LogprobsFormat(count: count, showsTokenIDs: false).writePrompt(prompt.tokens, to: &writer)
    } else {
      writer.member("prompt_logprobs", .null)
    }
    if plan.options.returnsTokenIDs {
      writer.writeTokens("prompt_token_ids", plan.prompts[index].tokens)
    } else {
      writer.member("prompt_token_ids", .null)
    }
  }
}

extension AnswerCollector.Choice {
  fileprivate mutating func add(_ delta: TextDelta) {
    var parts = reader.append(delta.text)
    if delta.end != nil { parts += reader.finish() }
    for part in parts {
      switch part {
      case .content(let more): text += more
      case .call(_, let name): calls.append((name, ""))
      case .arguments(let index, let more): calls[index].arguments += more
      }
    }
  }
}
