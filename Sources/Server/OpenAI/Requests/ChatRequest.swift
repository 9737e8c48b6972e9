internal import JSON

/// Decodes the body of /v1/chat/completions.
enum ChatRequest {
  static func plan(
    _ body: JSONObject, model: ServedModel, options: ServerOptions
  ) throws(APIError) -> GenerationPlan {
    try model.check(name: body["model"])
    try RequestSchemas.chat.validate(body)
    let sampling = try SamplingOptions(body, model: model, options: options)
    try checkTools(body)
    let maxTokens = body["max_completion_tokens"]?.int ?? body["max_tokens"]?.int
    try CompletionRequest.check(minTokens: sampling.minTokens, maxTokens: maxTokens)
    let logprobs = try logprobs(body, options)
    let prompt = try ChatPrompt.render(body, model: model, options: options)
    let tokens = try model.encode(prompt, addsSpecialTokens: body["add_special_tokens"]?.bool ?? false)
    return GenerationPlan(
      form: .chat, options: sampling,
      prompts: [
        .init(tokens: try PromptLimits.fit(tokens, sampling.truncation, maxTokens: maxTokens, model: model))
      ],
      maxTokens: maxTokens, logprobs: logprobs,
      badWordTokens: try BadWords.tokens(sampling.badWords, model.tokenizer))
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

  private static func checkTools(_ body: JSONObject) throws(APIError) {
    guard let choice = body["tool_choice"], !choice.isNull else { return }
    switch choice {
    case "none": return
    case "auto", "required", .object: break
    default:
      throw .shape(
        "expected 'none', 'auto', 'required' or an object, found \(choice.serialized().prefix(60))",
        path: "body.tool_choice")
    }
    guard let tools = body["tools"], !tools.isNull else {
      throw .invalid("When using `tool_choice`, `tools` must be set.", "tool_choice")
    }
    if choice != "auto" {
      throw .unsupported(
        "tool_choice \"required\" and named tools need structured output, which is not supported yet; use \"auto\" "
          + "or \"none\".", "tool_choice")
    }
  }
}
