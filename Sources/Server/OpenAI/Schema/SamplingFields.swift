internal import JSON

/// The fields that completions and chat share, with the defaults and bounds of vLLM.
enum SamplingFields {
  static let maximumChoices: Int64 = 16_384
  static let maximumStopStrings = 4
  static let maximumBadWords = 128

  static let model = Field("model", .string(), "A name from /v1/models; left out, the served model.")

  static let sampling: [Field] = [
    Field(
      "temperature", .number(.init(minimum: 0, maximum: 2)),
      "Randomness. 0 always takes the most likely token; values between 0 and 0.01 count as 0.01. Left out, the "
        + "checkpoint's generation_config.json decides, then 1."),
    Field(
      "top_p", .number(.init(minimum: 0, maximum: 1, excludesMinimum: true)),
      "Sample from the smallest set of tokens whose probabilities reach this sum. Left out: checkpoint, then 1."
    ),
    Field(
      "top_k", .integer(-1 ... .max),
      "Sample from this many tokens; 0 or -1 from all. Left out: checkpoint, then 0."),
    Field(
      "min_p", .number(.init(minimum: 0, maximum: 1)),
      "Drop tokens less likely than this fraction of the likeliest. Left out: checkpoint, then 0."),
    Field(
      "repetition_penalty", .number(.init(minimum: 0, excludesMinimum: true)),
      "Above 1 discourages tokens of prompt and output. Left out: checkpoint, then 1."),
    Field(
      "presence_penalty", .number(.init(minimum: -2, maximum: 2)), "Discourages tokens of the output.",
      default: 0.0),
    Field(
      "frequency_penalty", .number(.init(minimum: -2, maximum: 2)),
      "Discourages tokens of the output by how often they came.", default: 0.0),
    Field(
      "logit_bias", .map(.number()),
      "Added to the logits of these token ids (as strings), within -100 to 100."),
    Field("seed", .integer(), "Equal seeds give equal outputs; -1 is no seed."),
    Field(
      "n", .integer(1...maximumChoices), "Choices to generate for each prompt; 1 when greedy.", default: 1),
    Field("allowed_token_ids", .array(.integer(), count: 1...Int.max), "Only these tokens may be sampled."),
    Field(
      "bad_words", .array(.string(minimumLength: 1), count: 0...maximumBadWords),
      "Texts whose tokens are never completed."),
  ]

  static let stopping: [Field] = [
    Field(
      "stop",
      .either([.string(minimumLength: 1), .array(.string(minimumLength: 1), count: 0...maximumStopStrings)]),
      "Ends the output where one of these texts appears; the text before it is returned."),
    Field("stop_token_ids", .array(.integer()), "Tokens that end the output, besides the model's own."),
    Field("include_stop_str_in_output", .boolean, "Return the stop text too.", default: false),
    Field("ignore_eos", .boolean, "Go on after the model's end-of-text token.", default: false),
    Field("min_tokens", .integer(0 ... .max), "No end before this many tokens.", default: 0),
  ]

  static let output: [Field] = [
    Field("stream", .boolean, "Send the output as server-sent events while it is generated.", default: false),
    Field("stream_options", .object(streamOptions), "Only with `stream`."),
    Field("skip_special_tokens", .boolean, "Leave special tokens out of the text.", default: true),
    Field(
      "spaces_between_special_tokens", .boolean, "Has no effect: no tokenizer served here separates them.",
      default: true),
    Field(
      "prompt_logprobs", .integer(-1 ... .max),
      "Log-probabilities of this many alternatives for each prompt token; not with `stream`."),
    Field("return_token_ids", .boolean, "Return the token ids of prompt and output.", default: false),
    Field(
      "return_tokens_as_token_ids", .boolean, "Show tokens in log-probabilities as `token_id:N`.",
      default: false),
  ]

  static let prompt: [Field] = [
    Field(
      "truncate_prompt_tokens", .integer(-1 ... .max),
      "Keep at most this many tokens of the prompt; -1 is the context length."),
    Field(
      "truncation_side", .choice(["left", "right"]), "The side from which tokens are dropped.",
      default: "left"),
    Field("priority", .integer(), "Lower runs earlier; needs the priority scheduling policy.", default: 0),
    Field(
      "cache_salt", .string(minimumLength: 1),
      "Shares cached prompt prefixes only with requests of equal salt."),
    Field("request_id", .string(minimumLength: 1), "Used in the response's id."),
  ]

  static let streamOptions = Schema(
    "StreamOptions", "What a stream tells besides text.",
    fields: [
      Field("include_usage", .boolean, "Send one more event with the token counts.", default: false),
      Field(
        "continuous_usage_stats", .boolean, "Add the token counts so far to every event.", default: false),
    ])

  /// Known fields of the API that this server refuses, unless they are left out or have this value.
  static let refused: [Refused] =
    [
      Refused("use_beam_search", unless: false, "Beam search is not supported."),
      Refused("logprob_token_ids", unless: nil, "logprob_token_ids is not supported."),
    ] + StructuredOutput.refused

  struct Refused: Sendable {
    let name: String
    let accepted: JSONValue
    let message: String

    init(_ name: String, unless accepted: JSONValue, _ message: String) {
      self.name = name
      self.accepted = accepted
      self.message = message
    }
  }

  /// Throws for a member that asks for something this server cannot do.
  static func checkRefused(_ object: JSONObject, _ more: [Refused] = []) throws(APIError) {
    for refused in Self.refused + more {
      guard let value = object[refused.name], !value.isNull else { continue }
      // Of an object, only the members that are named count.
      let isAccepted = refused.accepted.object.map { $0.allSatisfy { value[$0.key] == $0.value } }
      if !(isAccepted ?? (value == refused.accepted)) { throw .unsupported(refused.message, refused.name) }
    }
  }
}
