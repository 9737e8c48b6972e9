package import Generation
package import JSON
package import Tokenizers

/// What the server answers from: one model in one engine.
package struct ServedModel: Sendable {
  /// The first is the model's own name in answers; requests may use any.
  package var names: [String]
  /// Where the checkpoint lies.
  package var root: String
  package var tokenizer: Tokenizer
  package var template: PromptTemplate?
  /// Compiles a template that came with a request.
  package var compileTemplate: (@Sendable (String) throws(APIError) -> PromptTemplate)?
  package var generationDefaults: GenerationDefaults
  package var maxModelLength: Int
  /// Unix seconds.
  package var created: Int
  package var service: any GenerationService
  package let grammars: GrammarCompiler
  package var adapters = AdapterNames()

  package init(
    names: [String], root: String, tokenizer: Tokenizer, template: PromptTemplate?,
    compileTemplate: (@Sendable (String) throws(APIError) -> PromptTemplate)? = nil,
    generationDefaults: GenerationDefaults, maxModelLength: Int, created: Int,
    service: any GenerationService
  ) {
    self.names = names
    self.root = root
    self.tokenizer = tokenizer
    self.template = template
    self.compileTemplate = compileTemplate
    self.generationDefaults = generationDefaults
    self.maxModelLength = maxModelLength
    self.created = created
    self.service = service
    grammars = GrammarCompiler(tokenizer, vocabularySize: service.information.vocabularySize)
  }

  package var name: String { names.first ?? root }

  /// One line for the start log: people are surprised by defaults that a checkpoint set.
  package var defaultsSummary: String {
    let defaults = generationDefaults
    let set = [
      defaults.temperature.map { "temperature \($0)" }, defaults.topP.map { "top_p \($0)" },
      defaults.topK.map { "top_k \($0)" }, defaults.minP.map { "min_p \($0)" },
      defaults.repetitionPenalty.map { "repetition_penalty \($0)" },
      defaults.maxNewTokens.map { "max_tokens \($0)" },
    ].compactMap { $0 }
    return set.isEmpty
      ? "requests default to temperature 1 and every token"
      : "requests default to the checkpoint's \(set.joined(separator: ", ")) (--generation-config vllm turns this off)"
  }

  /// The adapter that a request asks for by its name; nil for the model itself.
  func adapter(_ name: JSONValue?) -> (name: String, id: Int32)? {
    guard let asked = name?.string, !names.contains(asked), let entry = adapters[asked] else { return nil }
    return (asked, entry.id)
  }

  /// Throws for a model this server does not have; absent and null are the served one.
  func check(name: JSONValue?) throws(APIError) {
    guard let asked = name?.string, !names.contains(asked), adapters[asked] == nil else { return }
    throw APIError(404, .notFound, "The model `\(asked.prefix(200))` does not exist.", parameter: "model")
  }
}

/// Turns a conversation into a prompt.
package struct PromptTemplate: Sendable {
  package struct Input: Sendable {
    package var messages: JSONValue
    package var tools: JSONValue?
    package var documents: JSONValue?
    package var addsGenerationPrompt = true
    package var continuesFinalMessage = false
    /// More variables.
    package var variables: JSONObject = [:]

    package init(messages: JSONValue) { self.messages = messages }
  }
  /// Whether `message.content` is handed over as a list of parts; else as one string.
  package var takesContentParts: Bool
  package var render: @Sendable (Input) throws(APIError) -> String

  package init(takesContentParts: Bool, render: @escaping @Sendable (Input) throws(APIError) -> String) {
    self.takesContentParts = takesContentParts
    self.render = render
  }
}
