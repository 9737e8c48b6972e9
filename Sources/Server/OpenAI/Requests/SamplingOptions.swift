package import Generation
package import Grammars
internal import JSON

/// The fields that completions and chat share, decoded; defaults filled in.
package struct SamplingOptions: Sendable {
  package var sampling = SamplingParameters()
  package var choices = 1
  package var stopStrings: [String] = []
  package var stopTokens: [Int32] = []
  package var includesStopString = false
  package var ignoresEndOfText = false
  package var minTokens = 0
  package var badWords: [String] = []
  package var streams = false
  package var includesUsage = false
  package var continuousUsage = false
  package var skipsSpecialTokens = true
  package var promptLogprobs: Int?
  package var returnsTokenIDs = false
  package var showsTokenIDs = false
  package var truncation: Truncation?
  package var priority = 0
  package var cacheSalt: String?
  package var requestID: String?
  /// What the output has to be, and the field that says so.
  package var structure: (specification: GrammarSpecification, field: String)?

  package struct Truncation: Sendable, Equatable {
    /// -1 is the context length.
    package var tokens: Int
    package var keepsEnd: Bool
  }

  /// - Parameter object: checked against its schema already.
  init(_ object: JSONObject, model: ServedModel, options: ServerOptions) throws(APIError) {
    try SamplingFields.checkRefused(object)
    sampling = model.generationDefaults.sampling
    if let value = object["temperature"]?.double { sampling.temperature = Float(value) }
    if let value = object["top_p"]?.double { sampling.topP = Float(value) }
    if let value = object["top_k"]?.int { sampling.topK = max(0, value) }
    if let value = object["min_p"]?.double { sampling.minP = Float(value) }
    if let value = object["repetition_penalty"]?.double { sampling.repetitionPenalty = Float(value) }
    sampling.presencePenalty = Float(object["presence_penalty"]?.double ?? 0)
    sampling.frequencyPenalty = Float(object["frequency_penalty"]?.double ?? 0)
    guard sampling.repetitionPenalty > 0, sampling.repetitionPenalty.isFinite else {
      throw .invalid(
        "repetition_penalty must be a finite number greater than 0.", "repetition_penalty",
        value: object["repetition_penalty"])
    }
    if let seed = object["seed"]?.int, seed != -1 { sampling.seed = UInt64(bitPattern: Int64(seed)) }
    choices = object["n"]?.int ?? 1
    try decodeGreedy()
    let vocabularySize = model.service.information.vocabularySize
    for (key, value) in object["logit_bias"]?.object ?? [:] {
      guard let id = Int(key) else {
        throw .invalid("logit_bias keys must be token ids, got '\(key.prefix(40))'.", "logit_bias")
      }
      let token = try Self.token(id, vocabularySize, "logit_bias")
      sampling.logitBias[token] = Float(min(100, max(-100, value.double ?? 0)))
    }
    sampling.allowedTokens = try object["allowed_token_ids"]?.array.map { list throws(APIError) in
      try Self.tokens(list, vocabularySize, "allowed_token_ids")
    }
    decodeStopping(object)
    stopTokens = try Self.tokens(object["stop_token_ids"]?.array ?? [], vocabularySize, "stop_token_ids")
    try decodeOutput(object, options)
    let prompt = try PromptOptions(object, options)
    truncation = prompt.truncation
    priority = prompt.priority
    cacheSalt = prompt.cacheSalt
    requestID = prompt.requestID
    structure = try StructuredOutput.specification(object).map {
      ($0, object["structured_outputs"]?.object == nil ? "response_format" : "structured_outputs")
    }
  }

  /// 0 < t < 0.01 is raised to 0.01 first, so only an exact 0 is greedy; then nothing else narrows the choice.
  private mutating func decodeGreedy() throws(APIError) {
    if sampling.temperature > 0, sampling.temperature < 0.01 { sampling.temperature = 0.01 }
    guard sampling.temperature == 0 else { return }
    sampling.topP = 1
    sampling.topK = 0
    sampling.minP = 0
    if choices > 1 {
      throw .invalid(
        "n must be 1 when using greedy sampling, got \(choices).", "n", value: .integer(Int64(choices)))
    }
  }

  private mutating func decodeStopping(_ object: JSONObject) {
    stopStrings = object["stop"]?.string.map { [$0] } ?? object["stop"]?.array?.compactMap(\.string) ?? []
    includesStopString = object["include_stop_str_in_output"]?.bool ?? false
    ignoresEndOfText = object["ignore_eos"]?.bool ?? false
    minTokens = object["min_tokens"]?.int ?? 0
    badWords = object["bad_words"]?.array?.compactMap(\.string) ?? []
  }

  private mutating func decodeOutput(_ object: JSONObject, _ options: ServerOptions) throws(APIError) {
    streams = object["stream"]?.bool ?? false
    let streamOptions = object["stream_options"]?.object
    if streamOptions != nil, !streams {
      throw .invalid("Stream options can only be defined when `stream=True`.", "stream_options")
    }
    includesUsage = streamOptions?["include_usage"]?.bool ?? false || options.forcesUsageInStreams
    continuousUsage = includesUsage && streamOptions?["continuous_usage_stats"]?.bool ?? false
    skipsSpecialTokens = object["skip_special_tokens"]?.bool ?? true
    promptLogprobs = object["prompt_logprobs"]?.int
    if promptLogprobs != nil, streams {
      throw .invalid("`prompt_logprobs` are not available when `stream=True`.", "prompt_logprobs")
    }
    if let promptLogprobs { try Self.checkLogprobs(promptLogprobs, "prompt_logprobs", options) }
    returnsTokenIDs = object["return_token_ids"]?.bool ?? false
    showsTokenIDs = object["return_tokens_as_token_ids"]?.bool ?? false
  }

  static func checkLogprobs(_ count: Int, _ parameter: String, _ options: ServerOptions) throws(APIError) {
    if count == -1 || count > options.maximumLogprobs {
      throw .invalid(
        "Requested \(parameter) of \(count == -1 ? "all tokens" : String(count)), which is greater than max allowed: "
          + "\(options.maximumLogprobs)", parameter, value: .integer(Int64(count)))
    }
  }

  static func tokens(
    _ values: [JSONValue], _ vocabularySize: Int, _ parameter: String
  ) throws(APIError) -> [Int32] {
    var tokens: [Int32] = []
    tokens.reserveCapacity(values.count)
    for value in values { tokens.append(try token(value.int ?? -1, vocabularySize, parameter)) }
    return tokens
  }

  private static func token(_ id: Int, _ vocabularySize: Int, _ parameter: String) throws(APIError) -> Int32 {
    guard id >= 0, id < vocabularySize, let token = Int32(exactly: id) else {
      throw .invalid(
        "Token id \(id) is out of vocabulary: ids are 0 to \(vocabularySize - 1).", parameter,
        value: .integer(Int64(id)))
    }
    return token
  }
}

/// What a request may say about its prompt, whatever is wanted of it.
struct PromptOptions {
  var truncation: SamplingOptions.Truncation?
  var priority = 0
  var cacheSalt: String?
  var requestID: String?

  /// - Parameter object: checked against its schema already.
  init(_ object: JSONObject, _ options: ServerOptions) throws(APIError) {
    truncation = object["truncate_prompt_tokens"]?.int.map {
      SamplingOptions.Truncation(tokens: $0, keepsEnd: object["truncation_side"]?.string != "right")
    }
    priority = object["priority"]?.int ?? 0
    if priority != 0, !options.usesPriorities {
      throw .invalid(
        "Got priority \(priority) but Priority scheduling is not enabled (--scheduling-policy priority).",
        "priority", value: .integer(Int64(priority)))
    }
    cacheSalt = object["cache_salt"]?.string
    requestID = object["request_id"]?.string
  }
}
