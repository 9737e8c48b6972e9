internal import Generation
internal import JSON

/// Writes a run's updates as server-sent events: `data: {…}` and an empty line each.
///
/// What does not change within an answer is serialized once:
///
/// ```
/// data: {"id":"cmpl-1","object":"text_completion","created":1,"model":"m","choices":[{"index":  0,"text":"a",…}]}
/// └──────────────────────────── opening ─────────────────────────────────────────────────────┘
/// ```
struct EventFormat {
  private let plan: GenerationPlan
  private let opening: String
  private let usageOpening: String
  private let logprobs: LogprobsFormat
  /// Chat: choices whose first event, with the role, was sent.
  private var introduced: [Bool]
  /// By choice.
  private var readers: [ToolCallReader]
  /// Completions with echo: what the first event of a choice still has to carry.
  private var echo: [PromptText?]
  private var hasEchoed: [Bool]

  init(_ plan: GenerationPlan, _ identity: AnswerIdentity) {
    self.plan = plan
    var writer = JSONWriter()
    writer.beginObject()
    identity.write(
      object: plan.form == .completion ? "text_completion" : "chat.completion.chunk", to: &writer)
    writer.key("choices")
    writer.beginArray()
    let head = "data: " + String(decoding: writer.bytes, as: UTF8.self)
    opening = head + "{\"index\":"
    usageOpening = head
    logprobs = LogprobsFormat(count: plan.logprobs ?? 0, showsTokenIDs: plan.options.showsTokenIDs)
    introduced = Array(repeating: false, count: plan.choiceCount)
    readers = Array(repeating: ToolCallReader(plan.tools), count: plan.choiceCount)
    echo = Array(repeating: nil, count: plan.prompts.count)
    hasEchoed = Array(repeating: !plan.echoes, count: plan.choiceCount)
  }

  /// - Returns: the message of a failure, which is not written.
  mutating func write(_ update: AnswerUpdate, _ run: GenerationRun, to writer: inout JSONWriter) -> String? {
    switch update {
    case .prompt(let index, let text, _):
      let choices = index * plan.options.choices..<(index + 1) * plan.options.choices
      switch plan.form {
      case .chat: for choice in choices { introduce(choice, run, to: &writer) }
      case .completion:
        echo[index] = text
        if plan.echoes {
          for choice in choices { write(choice, token: nil, TextDelta(), [], run, to: &writer) }
        }
      }
    case .delta(let choice, let token, let delta):
      if case .failed(let message) = delta.end { return message }
      if plan.form == .chat, !introduced[choice] { introduce(choice, run, to: &writer) }
      var delta = delta
      var calls: [CallDelta] = []
      if plan.tools != .none { calls = takeCalls(from: &delta, choice) }
      let isWorthTelling =
        !delta.text.isEmpty || !calls.isEmpty || delta.end != nil || delta.logprobs != nil
        || plan.options.returnsTokenIDs
      if isWorthTelling { write(choice, token: token, delta, calls, run, to: &writer) }
    }
    return nil
  }

  /// Leaves the content in the delta.
  private mutating func takeCalls(from delta: inout TextDelta, _ choice: Int) -> [CallDelta] {
    var parts = readers[choice].append(delta.text)
    if delta.end != nil { parts += readers[choice].finish() }
    delta.text = ""
    var calls: [CallDelta] = []
    for part in parts {
      switch part {
      case .content(let text): delta.text += text
      case .call(let index, let name): calls.append(CallDelta(index: index, name: name))
      case .arguments(let index, let text):
        if calls.last?.index != index { calls.append(CallDelta(index: index)) }
        calls[calls.count - 1].arguments += text
      }
    }
    return calls
  }

  private mutating func introduce(_ choice: Int, _ run: GenerationRun, to writer: inout JSONWriter) {
    introduced[choice] = true
    writer.literal(opening)
    writer.integer(choice)
    writer.key("delta")
    writer.beginObject()
    writer.member("role", "assistant")
    writer.member("content", "")
    writer.endObject()
    writer.member("logprobs", .null)
    writer.member("finish_reason", .null)
    if plan.options.returnsTokenIDs { writer.writeTokens("prompt_token_ids", plan.prompts[0].tokens) }
    close(choice, run, to: &writer)
  }

  private mutating func write(
    _ choice: Int, token: Int32?, _ delta: TextDelta, _ calls: [CallDelta], _ run: GenerationRun,
    to writer: inout JSONWriter
  ) {
    writer.literal(opening)
    writer.integer(choice)
    var shown = delta.logprobs.map { [ShownToken($0)] } ?? []
    switch plan.form {
    case .completion:
      if hasEchoed[choice] {
        writer.member("text", delta.text)
      } else {
        hasEchoed[choice] = true
        let prompt = echo[choice / plan.options.choices]
        writer.member("text", (prompt?.text ?? "") + delta.text)
        shown = (prompt?.tokens ?? []).map { ShownToken($0) } + shown
      }
    case .chat:
      writer.key("delta")
      writer.beginObject()
      if !delta.text.isEmpty || (delta.end == nil && calls.isEmpty) { writer.member("content", delta.text) }
      CallDelta.write(calls, to: &writer)
      writer.endObject()
    }
    if plan.logprobs == nil || shown.isEmpty {
      writer.member("logprobs", .null)
    } else if plan.form == .completion {
      logprobs.writeCompletion(shown, to: &writer)
    } else {
      logprobs.writeChat(shown, to: &writer)
    }
    writer.writeEnd(delta.end, callsTools: plan.tools.endsWithCalls(readers[choice].callCount))
    if plan.options.returnsTokenIDs { writer.writeTokens("token_ids", token.map { [$0] } ?? []) }
    close(choice, run, to: &writer)
  }

  private func close(_ choice: Int, _ run: GenerationRun, to writer: inout JSONWriter) {
    writer.endObject()
    writer.endArray()
    if plan.options.continuousUsage { run.usage(ofChoice: choice).write(to: &writer) }
    writer.endObject()
    writer.literal("\n\n")
  }

  /// The event with the token counts, when it was asked for, and the last one.
  func writeEnd(_ run: GenerationRun, to writer: inout JSONWriter) {
    if plan.options.includesUsage {
      writer.literal(usageOpening)
      writer.endArray()
      run.usage.write(to: &writer)
      writer.endObject()
      writer.literal("\n\n")
    }
    writer.literal(Self.done)
  }

  static func writeFailure(_ error: APIError, to writer: inout JSONWriter) {
    writer.literal("data: ")
    writer.value(error.json)
    writer.literal("\n\n" + done)
  }

  private static let done = "data: [DONE]\n\n"
}
