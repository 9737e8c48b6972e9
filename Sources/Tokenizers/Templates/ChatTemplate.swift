package import JSON

/// A compiled chat template: Jinja as Hugging Face's `apply_chat_template` runs it (an immutable sandbox,
/// `trim_blocks`, `lstrip_blocks`, loop controls, the `generation` tag, `raise_exception`, `strftime_now`).
///
/// One template may be rendered from many threads at once.
package struct ChatTemplate: Sendable {
  package let source: String
  /// Whether the template wants a message's content as a list of parts or as a string.
  package let contentFormat: ChatTemplateContentFormat
  private let template: ParsedTemplate

  /// Compiles a template; unknown tags, filters and tests are refused here, by name.
  package init(source: String) throws(TemplateError) {
    self.source = source
    template = try TemplateParser.parse(source)
    try template.checkNames()
    contentFormat = ChatTemplateContentFormat(of: template)
  }

  /// The prompt for a conversation.
  ///
  /// - Parameters:
  ///   - messages: a list of objects with `role` and `content`; `tool_calls[].function.arguments` should be
  ///     objects already, not the strings of the API.
  ///   - continueFinalMessage: cuts the prompt right behind the last message's text, for the model to go on.
  ///   - specialTokens: `bos_token` and the like; those left out are undefined in the template.
  ///   - extra: further variables; they come before the ones above.
  package func render(
    messages: JSONValue, tools: JSONValue? = nil, documents: JSONValue? = nil,
    addGenerationPrompt: Bool = false,
    continueFinalMessage: Bool = false, specialTokens: [String: String] = [:], extra: JSONObject = [:],
    limits: TemplateLimits = .default, now: TemplateDate = .now()
  ) throws(TemplateError) -> String {
    var variables: JSONObject = [
      "messages": messages, "tools": tools ?? .null, "documents": documents ?? .null,
      "add_generation_prompt": .bool(addGenerationPrompt),
    ]
    for (name, token) in specialTokens { variables[name] = .string(token) }
    for (name, value) in extra { variables[name] = value }
    guard continueFinalMessage else { return try render(variables, limits: limits, now: now) }
    variables["continue_final_message"] = true
    variables["messages"] = try FinalMessage.marked(variables["messages"] ?? .null)
    return try FinalMessage.cut(try render(variables, limits: limits, now: now))
  }

  /// The template's text with these variables.
  package func render(
    _ variables: JSONObject, limits: TemplateLimits = .default, now: TemplateDate = .now()
  ) throws(TemplateError) -> String {
    let interpreter = TemplateInterpreter(symbols: template.symbols, limits: limits, now: now)
    for (name, value) in variables { interpreter.define(name, TemplateValue(value)) }
    return try interpreter.render(template.body)
  }
}

extension ChatTemplate {
  /// The template in a `tokenizer_config.json`. Where there are several, tools ask for the one named
  /// `tool_use`, everything else for `default`.
  package static func source(in configuration: JSONValue, withTools: Bool = false) -> String? {
    switch configuration["chat_template"] {
    case .string(let source): return source
    case .array(let templates):
      func named(_ name: String) -> String? {
        templates.first { $0["name"] == .string(name) }?["template"]?.string
      }
      return (withTools ? named("tool_use") : nil) ?? named("default")
    default: return nil
    }
  }
}

/// How a message's content is handed to a template.
package enum ChatTemplateContentFormat: Sendable, Equatable {
  /// As one string.
  case string
  /// As a list of parts such as `{"type": "text", "text": …}`.
  case openai
}

/// A mark put behind the last message's text finds the place in the prompt where the model is to go on.
private enum FinalMessage {
  private static let mark = "CONTINUE_FINAL_MESSAGE_TAG "

  static func marked(_ messages: JSONValue) throws(TemplateError) -> JSONValue {
    guard var list = messages.array, case .object(var message)? = list.last else { throw notRendered }
    switch message["content"] {
    case .string(let text): message["content"] = .string(text + mark)
    case .array(var parts):
      guard let place = parts.lastIndex(where: { $0["text"]?.string != nil }), var part = parts[place].object,
        let text = part["text"]?.string
      else { throw notRendered }
      part["text"] = .string(text + mark)
      parts[place] = .object(part)
      message["content"] = .array(parts)
    default: throw notRendered
    }
    list[list.count - 1] = .object(message)
    return .array(list)
  }

  /// What stands before the mark; if the template trimmed the mark's own blank, it trims the text, too.
  static func cut(_ prompt: String) throws(TemplateError) -> String {
    let trimmedMark = mark.strippedPython(nil)
    guard let place = prompt.lastPlace(of: trimmedMark) else { throw notRendered }
    let text = prompt.text(0..<place)
    let isKept = prompt.text(place..<prompt.utf8.count).utf8.starts(with: mark.utf8)
    return isKept ? text : text.strippedPython(nil, start: false)
  }

  private static var notRendered: TemplateError { TemplateError(.finalMessageNotRendered, line: 0) }
}
