internal import Generation
internal import JSON
internal import Server
internal import Tokenizers

/// The turns of a chat, rendered anew for each question.
struct Conversation {
  private let template: PromptTemplate?
  private let tokenizer: Tokenizer
  private var system: [JSONValue] = []
  /// Question, answer, question, …
  private var turns: [JSONValue] = []

  init(host: EngineHost, system: String?) {
    template = host.served.template
    tokenizer = host.model.tokenizer
    if let system { self.system = [message("system", system)] }
  }

  /// The prompt of the chat with this question. The oldest turns are forgotten when it is longer than `limit`
  /// tokens; a question too long by itself is not taken up.
  mutating func ask(_ text: String, limit: Int) throws -> [Int32] {
    turns.append(message("user", text))
    var ids = try render()
    while ids.count > limit, turns.count > 2 {
      turns.removeFirst(2)
      ids = try render()
    }
    if ids.count > limit {
      turns.removeLast()
      throw QuestionTooLong(tokens: ids.count, limit: limit)
    }
    return ids
  }

  mutating func answer(_ text: String) {
    turns.append(message("assistant", text))
  }

  private func render() throws -> [Int32] {
    guard let template else {
      throw Failure(
        .badData,
        "the model has no chat template; give one with --chat-template, or use --prompt without --chat")
    }
    do {
      let prompt = try template.render(PromptTemplate.Input(messages: .array(system + turns)))
      return try tokenizer.encode(prompt, addSpecialTokens: false)
    } catch let error as APIError {
      throw Failure(.badData, error.message)
    }
  }

  private func message(_ role: String, _ text: String) -> JSONValue {
    let content: JSONValue =
      template?.takesContentParts == true
      ? .array([["type": "text", "text": .string(text)]]) : .string(text)
    return ["role": .string(role), "content": content]
  }
}

/// A question that does not fit the model's context even without the turns before it.
struct QuestionTooLong: Error, CustomStringConvertible {
  var tokens: Int
  var limit: Int

  var description: String {
    "that is \(tokens) tokens with the template, and \(limit) fit beside an answer; ask something shorter"
  }
}
