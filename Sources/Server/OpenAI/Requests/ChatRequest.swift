internal import JSON

/// Decodes the body of /v1/chat/completions.
enum ChatRequest {
  static func plan(
    _ body: JSONObject, model: ServedModel, options: ServerOptions
  ) throws(APIError) -> GenerationPlan {
    try model.check(name: body["model"])
    try RequestSchemas.chat.validate(body)
    var sampling = try SamplingOptions(body, model: model, options: options)
    let tools = try ToolRequest(body, options)
    if let structure = tools.structure {
      guard sampling.structure == nil else {
        throw .invalid(
          "tool_choice \"required\" and named tools decide what the output is; response_format and structured_outputs "
            + "can't be used with them.", "tool_choice")
      }
      sampling.structure = (structure, "tools")
    }
    // Some dialects mark calls with special tokens.
    if case .auto = tools.use { sampling.skipsSpecialTokens = false }
    let maxTokens = body["max_completion_tokens"]?.int ?? body["max_tokens"]?.int
    try CompletionRequest.check(minTokens: sampling.minTokens, maxTokens: maxTokens)
    let logprobs = try logprobs(body, options)
    let prompt = try ChatPrompt.render(body, model: model, options: options)
    let tokens = try model.encode(prompt, addsSpecialTokens: body["add_special_tokens"]?.bool ?? false)
    var plan = GenerationPlan(
      form: .chat, options: sampling,
      prompts: [
        .init(tokens: try PromptLimits.fit(tokens, sampling.truncation, maxTokens: maxTokens, model: model))
      ],
      maxTokens: maxTokens, logprobs: logprobs,
      badWordTokens: try BadWords.tokens(sampling.badWords, model.tokenizer))
    plan.tools = tools.use
    return plan
  }

  private static func logprobs(_ body: JSONObject, _ options: ServerOptions) throws(APIError) -> Int? {
    let top = body["top_logprobs"]?.int ?? 0
    let isAsked = body["logprobs"]?.bool ?? false
    if top != 0, !isAsked {
      throw .invalid("when using `top_logprobs`, `logprobs` must be set to true.", "top_logprobs")
    }
    try SamplingOptions.checkLogprobs(top, "top_logprobs", options)
    return isAsked ? top : nil
  }
}
