internal import Generation
package import Grammars
internal import JSON
internal import Tokenizers

/// A decoded completions or chat request: everything the engine and the answer need.
package struct GenerationPlan: Sendable {
  package enum Form: Sendable, Equatable { case completion, chat }

  package struct Prompt: Sendable, Equatable {
    package var tokens: [Int32]
    /// The text the client sent, when it sent text and all of it counts.
    package var text: String?

    package init(tokens: [Int32], text: String? = nil) {
      self.tokens = tokens
      self.text = text
    }
  }
  package var form: Form
  package var options: SamplingOptions
  package var prompts: [Prompt]
  /// As asked; nil when left open.
  package var maxTokens: Int?
  /// Alternatives to report for each generated token; nil reports nothing.
  package var logprobs: Int?
  package var echoes = false
  package var badWordTokens: [[Int32]] = []
  /// The adapter to answer with, and the name it was asked by.
  package var adapter: (name: String, id: Int32)?
  package var grammar: TokenGrammar?
  /// How calls of tools are found in the output.
  var tools = ToolUse.none

  /// Answer choices in all: those of prompt `p` are `p * options.choices ..< (p + 1) * options.choices`.
  package var choiceCount: Int { prompts.count * options.choices }

  /// Only the prompt is wanted, with its log-probabilities.
  package var generatesNothing: Bool { maxTokens == 0 }

  /// Log-probabilities the engine must report for prompt tokens.
  var enginePromptLogprobs: Int? {
    let echoed = echoes ? logprobs : nil
    guard let asked = options.promptLogprobs else { return echoed }
    return max(asked, echoed ?? 0)
  }

  func request(_ index: Int, id: String, model: ServedModel) -> GenerationRequest {
    let prompt = prompts[index]
    var stop = StopConditions(
      maxTokens: PromptLimits.maxTokens(
        asked: generatesNothing ? 1 : maxTokens, promptCount: prompt.tokens.count, form: form, model: model))
    stop.minTokens = options.minTokens
    stop.endOfTextTokens = model.generationDefaults.endOfTextTokens
    stop.stopTokens = options.stopTokens
    stop.ignoreEndOfText = options.ignoresEndOfText
    var request = GenerationRequest(
      id: prompts.count == 1 ? id : "\(id)-\(index)", prompt: prompt.tokens, stop: stop)
    request.sampling = options.sampling
    request.sampling.badWords = badWordTokens
    request.choices = generatesNothing ? 1 : options.choices
    request.logprobs = generatesNothing ? nil : logprobs
    request.promptLogprobs = enginePromptLogprobs
    request.priority = options.priority
    request.cacheSalt = options.cacheSalt
    request.adapter = adapter?.id ?? 0
    if !generatesNothing { request.grammar = grammar }
    return request
  }
}

/// How prompt and output share the context.
enum PromptLimits {
  static let completionMaxTokens = 16

  /// Cuts a prompt as the request asked, and refuses one that leaves no room.
  static func fit(
    _ tokens: [Int32], _ truncation: SamplingOptions.Truncation?, maxTokens: Int?, model: ServedModel
  ) throws(APIError) -> [Int32] {
    let limit = model.maxModelLength
    var tokens = tokens
    if let truncation {
      guard truncation.tokens <= limit else {
        throw .invalid(
          "truncate_prompt_tokens value is greater than max_model_len (\(limit)). Please request a smaller "
            + "truncation size.", "truncate_prompt_tokens", value: .integer(Int64(truncation.tokens)))
      }
      let count = truncation.tokens < 0 ? limit : truncation.tokens
      tokens = Array(truncation.keepsEnd ? tokens.suffix(count) : tokens.prefix(count))
    }
    guard !tokens.isEmpty else { throw .invalid("The prompt cannot be empty.", "prompt") }
    // A prompt that fills the context can still be scored.
    let wanted = maxTokens ?? 1
    let (total, overflow) = tokens.count.addingReportingOverflow(wanted)
    if overflow || total > limit { throw tooLong(promptCount: tokens.count, wanted: wanted, limit: limit) }
    return tokens
  }

  static func tooLong(promptCount: Int, wanted: Int, limit: Int) -> APIError {
    let (sum, overflow) = promptCount.addingReportingOverflow(wanted)
    let total = overflow ? Int.max : sum
    return APIError(
      400, .badRequest,
      "This model's maximum context length is \(limit) tokens. However, you requested \(wanted) output tokens and "
        + "your prompt contains at least \(promptCount) input tokens, for a total of at least \(total) tokens. "
        + "Please reduce the length of the input prompt or the number of requested output tokens. "
        + "(parameter=input_tokens, value=\(promptCount))", parameter: "input_tokens")
  }

  static func maxTokens(asked: Int?, promptCount: Int, form: GenerationPlan.Form, model: ServedModel) -> Int {
    let room = max(0, model.maxModelLength - promptCount)
    if let asked { return min(asked, room) }
    let open = form == .completion ? completionMaxTokens : model.generationDefaults.maxNewTokens ?? room
    return min(open, room)
  }
}
