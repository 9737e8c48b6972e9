internal import JSON

/// Renders the conversation of a request, for chat and for /tokenize.
enum ChatPrompt {
  static func render(_ body: JSONObject, model: ServedModel, options: ServerOptions) throws(APIError)
    -> String
  {
    let template = try template(body, model: model, options: options)
    var messages: [JSONValue] = []
    for (index, message) in (body["messages"]?.array ?? []).enumerated() {
      messages.append(
        .object(
          try ChatMessage.normalized(message.object ?? [:], index: index, asParts: template.takesContentParts)
        ))
    }
    var input = PromptTemplate.Input(messages: .array(messages))
    input.tools = body["tools"].flatMap { $0.isNull ? nil : $0 }
    input.documents = body["documents"].flatMap { $0.isNull ? nil : $0 }
    input.continuesFinalMessage = body["continue_final_message"]?.bool ?? false
    input.addsGenerationPrompt = body["add_generation_prompt"]?.bool ?? true
    if input.continuesFinalMessage {
      if input.addsGenerationPrompt {
        throw .invalid(
          "Cannot set both `continue_final_message` and `add_generation_prompt` to True.",
          "continue_final_message")
      }
      guard messages.last?["role"] == "assistant" else {
        throw .invalid(
          "continue_final_message is set but the last message is not from the assistant.",
          "continue_final_message")
      }
    }
    if let effort = body["reasoning_effort"]?.string {
      input.variables["reasoning_effort"] = .string(effort)
      input.variables["enable_thinking"] = .bool(effort != "none")
    }
    for (name, value) in body["chat_template_kwargs"]?.object ?? [:] { input.variables[name] = value }
    return try template.render(input)
  }

  private static func template(
    _ body: JSONObject, model: ServedModel, options: ServerOptions
  ) throws(APIError) -> PromptTemplate {
    if let source = body["chat_template"]?.string {
      guard options.trustsRequestChatTemplates, let compile = model.compileTemplate else {
        throw .invalid(
          "Chat template is passed with request, but --trust-request-chat-template is not set. Refused request with "
            + "untrusted chat template.", "chat_template")
      }
      return try compile(source)
    }
    guard let template = model.template else {
      throw APIError(
        400, .badRequest,
        "This model has no chat template, so it cannot answer conversations; use /v1/completions, or start the "
          + "server with --chat-template.")
    }
    return template
  }
}

/// Brings a message into the form that templates expect.
enum ChatMessage {
  /// - Parameter asParts: the template walks over content parts; otherwise they are joined by line breaks.
  static func normalized(_ message: JSONObject, index: Int, asParts: Bool) throws(APIError) -> JSONObject {
    let path = "body.messages[\(index)]"
    var result = message
    result["content"] = try content(message["content"] ?? .null, asParts: asParts, path: path + ".content")
    if let reasoning = result["reasoning_content"] {
      if result["reasoning"] == nil { result["reasoning"] = reasoning }
    } else if let reasoning = result["reasoning"] {
      // Templates of the DeepSeek family read the older name.
      result["reasoning_content"] = reasoning
    }
    if let calls = message["tool_calls"]?.array {
      var parsed: [JSONValue] = []
      for (position, call) in calls.enumerated() {
        parsed.append(try withParsedArguments(call, path: "\(path).tool_calls[\(position)]"))
      }
      result["tool_calls"] = .array(parsed)
    } else if result["tool_calls"] != nil {
      result["tool_calls"] = nil
    }
    return result
  }

  private static func content(_ content: JSONValue, asParts: Bool, path: String) throws(APIError) -> JSONValue
  {
    guard let parts = content.array else {
      guard asParts, let text = content.string else { return content }
      return [["type": "text", "text": .string(text)]]
    }
    var texts: [String] = []
    for (index, part) in parts.enumerated() {
      if let text = part.string {
        texts.append(text)
        continue
      }
      let place = "\(path)[\(index)]"
      guard part["type"] == "text" else {
        let type = part["type"]?.string ?? ""
        throw .invalid(
          "\(place): content parts of type '\(type.prefix(40))' are not supported: this is a text model.",
          "messages")
      }
      guard let text = part["text"]?.string else {
        throw .shape("this field is required", path: place + ".text")
      }
      texts.append(text)
    }
    return asParts
      ? .array(texts.map { ["type": "text", "text": .string($0)] }) : .string(texts.joined(separator: "\n"))
  }

  /// Arguments arrive as JSON text and templates walk over them, so they are parsed.
  private static func withParsedArguments(_ call: JSONValue, path: String) throws(APIError) -> JSONValue {
    guard var result = call.object, var function = call["function"]?.object else { return call }
    if let text = function["arguments"]?.string {
      let parsed: JSONValue
      do {
        parsed = text.isEmpty ? [:] : try JSONValue.parse(text)
      } catch {
        throw .invalid("\(path).function.arguments: \(error)", "messages")
      }
      guard parsed.object != nil else {
        throw .invalid("\(path).function.arguments must be the JSON text of an object.", "messages")
      }
      function["arguments"] = parsed
    }
    result["function"] = .object(function)
    return .object(result)
  }
}
