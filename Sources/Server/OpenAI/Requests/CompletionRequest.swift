internal import Generation
internal import JSON
internal import Tokenizers

/// Decodes the body of /v1/completions.
enum CompletionRequest {
  static func plan(
    _ body: JSONObject, model: ServedModel, options: ServerOptions
  ) throws(APIError) -> GenerationPlan {
    try model.check(name: body["model"])
    let prompt = body["prompt"] ?? .null
    if prompt.isNull || prompt.string?.isEmpty == true || prompt.array?.isEmpty == true {
      throw .invalid("Either prompt or prompt_embeds must be provided and non-empty.", "prompt")
    }
    try RequestSchemas.completion.validate(body)
    try SamplingFields.checkRefused(
      body,
      [
        .init("suffix", unless: nil, "suffix is not currently supported"),
        .init("prompt_embeds", unless: nil, "prompt_embeds are not supported"),
      ])
    let sampling = try SamplingOptions(body, model: model, options: options)
    let echoes = body["echo"]?.bool ?? false
    let maxTokens = body["max_tokens"]?.int ?? PromptLimits.completionMaxTokens
    if maxTokens == 0, !echoes {
      throw .invalid("max_tokens must be at least 1, got 0.", "max_tokens", value: 0)
    }
    try Self.check(minTokens: sampling.minTokens, maxTokens: maxTokens)
    let logprobs = body["logprobs"]?.int
    if let logprobs { try SamplingOptions.checkLogprobs(logprobs, "logprobs", options) }
    let isDefault = body["max_tokens"]?.int == nil
    let reserved = isDefault ? 1 : maxTokens
    let items = items(of: prompt)
    let (choices, overflow) = items.count.multipliedReportingOverflow(by: sampling.choices)
    if overflow || choices > SamplingFields.maximumChoices {
      throw .invalid(
        "n times the number of prompts must be at most \(SamplingFields.maximumChoices).", "n",
        value: .integer(Int64(sampling.choices)))
    }
    var prompts: [GenerationPlan.Prompt] = []
    for item in items {
      var decoded = try Self.decode(
        item, addsSpecialTokens: body["add_special_tokens"]?.bool ?? true, model: model)
      let whole = decoded.tokens.count
      decoded.tokens = try PromptLimits.fit(
        decoded.tokens, sampling.truncation, maxTokens: reserved, model: model)
      if decoded.tokens.count != whole { decoded.text = nil }
      prompts.append(decoded)
    }
    return GenerationPlan(
      form: .completion, options: sampling, prompts: prompts, maxTokens: isDefault ? nil : maxTokens,
      logprobs: logprobs, echoes: echoes,
      badWordTokens: try BadWords.tokens(sampling.badWords, model.tokenizer))
  }

  static func check(minTokens: Int, maxTokens: Int?) throws(APIError) {
    guard let maxTokens, minTokens > maxTokens else { return }
    throw .invalid(
      "min_tokens must be less than or equal to max_tokens=\(maxTokens), got \(minTokens).", "min_tokens",
      value: .integer(Int64(minTokens)))
  }

  /// A list of numbers is one prompt; a list of texts or of lists is many.
  private static func items(of prompt: JSONValue) -> [JSONValue] {
    guard let elements = prompt.array, elements.first?.int == nil else { return [prompt] }
    return elements
  }

  private static func decode(
    _ prompt: JSONValue, addsSpecialTokens: Bool, model: ServedModel
  ) throws(APIError) -> GenerationPlan.Prompt {
    if let text = prompt.string {
      return .init(tokens: try model.encode(text, addsSpecialTokens: addsSpecialTokens), text: text)
    }
    return .init(
      tokens: try SamplingOptions.tokens(
        prompt.array ?? [], model.service.information.vocabularySize, "prompt"))
  }
}

extension ServedModel {
  func encode(_ text: String, addsSpecialTokens: Bool) throws(APIError) -> [Int32] {
    do {
      return try tokenizer.encode(text, addSpecialTokens: addsSpecialTokens)
    } catch {
      throw .invalid("The text could not be tokenized: \(error)", "prompt")
    }
  }
}

/// Texts that must not be completed, as token sequences.
enum BadWords {
  static let maximumTokens = 1024

  /// A word is tokenized differently behind a space, so both forms are banned (as vLLM does).
  static func tokens(_ words: [String], _ tokenizer: Tokenizer) throws(APIError) -> [[Int32]] {
    var sequences: [[Int32]] = []
    for word in words {
      let bare = String(word.drop { $0 == " " })
      for text in [bare, " " + bare] {
        let tokens: [Int32]
        do {
          tokens = try tokenizer.encode(text, addSpecialTokens: false)
        } catch {
          throw .invalid("bad_words could not be tokenized: \(error)", "bad_words")
        }
        if tokens.count > maximumTokens {
          throw .invalid(
            "bad_words must have at most \(maximumTokens) tokens each, got \(tokens.count).", "bad_words")
        }
        if !tokens.isEmpty, !sequences.contains(tokens) { sequences.append(tokens) }
      }
    }
    return sequences
  }
}
