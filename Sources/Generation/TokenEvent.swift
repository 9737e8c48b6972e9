/// Log-probabilities at one position, before temperature and penalties (vLLM's `raw_logprobs`).
package struct TokenLogprobs: Sendable, Equatable {
  package struct Entry: Sendable, Equatable {
    package var token: Int32
    package var logprob: Float
    /// 1 is the most likely token.
    package var rank: Int

    package init(token: Int32, logprob: Float, rank: Int) {
      self.token = token
      self.logprob = logprob
      self.rank = rank
    }
  }
  /// The token that stands at this position.
  package var chosen: Entry
  /// The k most likely tokens, best first; may contain `chosen`.
  package var top: [Entry]

  package init(chosen: Entry, top: [Entry]) {
    self.chosen = chosen
    self.top = top
  }
}

package enum FinishReason: Sendable, Equatable {
  /// An end-of-text token was sampled, or the grammar has nothing more to say.
  case endOfText
  /// One of the request's stop tokens was sampled.
  case stopToken(Int32)
  /// `maxTokens` or the context length was reached.
  case length
  /// Cancelled by the client, or by a drain that ran out of time.
  case aborted
  /// The engine could not go on with this request.
  case failed(String)
}

/// What the engine tells about a request, in order.
package enum TokenEvent: Sendable, Equatable {
  /// The prompt has been computed: once a request, before its tokens. A request cancelled earlier has none.
  /// `logprobs` has one entry a prompt token when asked for, the first nil.
  case prompt(cachedTokens: Int, logprobs: [TokenLogprobs?]?)
  /// One more token of a choice. The token that ends a choice is reported too, before its `finished`.
  case token(choice: Int, token: Int32, logprobs: TokenLogprobs?)
  case finished(choice: Int, reason: FinishReason)
  /// The prompt's pooled states, not normalised: before `finished`, for requests that ask for an embedding.
  case embedding([Float])
  /// How many drafts of all choices were right and wrong: once, before the last `finished`, when there were any.
  case speculation(accepted: Int, refused: Int)
}

package enum SubmissionError: Error, Sendable, Equatable {
  /// The queue cap is reached; try again after about this many seconds.
  case overloaded(retryAfterSeconds: Int)
  case draining
  case stopped(String)
  case promptTooLong(tokens: Int, requested: Int, maximum: Int)
  case emptyPrompt
  case tokenOutOfRange(index: Int, token: Int32, vocabularySize: Int)
  /// The prompt and its outputs can never fit the KV pool.
  case exceedsMemory(neededBlocks: Int, totalBlocks: Int)
  /// A value that makes no sense, by the field of `GenerationRequest` it is in.
  case invalid(field: String, value: Int, requirement: String)
}

/// A submitted request's events, read by one consumer on any thread. Letting go of the stream cancels the request.
package protocol GenerationStream: Sendable {
  /// Blocks until events are there (all that have come, in order), the timeout passes (an empty array), or the
  /// request is over and read out (nil). A nil timeout waits as long as it takes, 0 not at all.
  func next(timeoutMilliseconds: Int?) -> [TokenEvent]?
  /// Ends one choice early (a stop string matched); its `finished` still comes, as `.aborted`. Idempotent.
  func finish(choice: Int)
  /// Ends the request; its memory is free again one step later. Idempotent, from any thread.
  func cancel()
}

/// What a server needs of an engine. `Engine` is the real one; tests script their own.
package protocol GenerationService: Sendable {
  var information: ServiceInformation { get }
  func submit(_ request: GenerationRequest) throws(SubmissionError) -> any GenerationStream
  func statistics() -> EngineStatistics
}

package struct ServiceInformation: Sendable {
  package var vocabularySize: Int
  package var maxModelLength: Int
  package var blockSize: Int
  package var blockCount: Int
  package var device: String
  /// What keys and values are cached as.
  package var cacheType = "auto"

  package init(
    vocabularySize: Int, maxModelLength: Int, blockSize: Int, blockCount: Int, device: String
  ) {
    self.vocabularySize = vocabularySize
    self.maxModelLength = maxModelLength
    self.blockSize = blockSize
    self.blockCount = blockCount
    self.device = device
  }
}

extension SubmissionError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .overloaded(let seconds):
      "the server is overloaded: its queue is full; try again in about \(seconds) s"
    case .draining:
      "the server is shutting down and takes no new requests"
    case .stopped(let reason):
      "the engine has stopped: \(reason)"
    case .promptTooLong(let tokens, let requested, let maximum):
      """
      This model's maximum context length is \(maximum) tokens. However, you requested \(requested) output tokens \
      and your prompt contains at least \(tokens) input tokens, for a total of at least \(tokens + requested) \
      tokens. Please reduce the length of the input prompt or the number of requested output tokens.
      """
    case .emptyPrompt:
      "the prompt has no tokens; it needs at least one"
    case .tokenOutOfRange(let index, let token, let vocabularySize):
      "token \(token) of the prompt (index \(index)) is out of vocabulary; ids are 0 to \(vocabularySize - 1)"
    case .exceedsMemory(let needed, let total):
      """
      prompt and output need \(needed) blocks of key/value memory and the server has \(total); shorten the prompt, \
      ask for fewer output tokens, or start the server with more memory (--kv-cache-memory-bytes)
      """
    case .invalid(let field, let value, let requirement):
      "\(field) is \(value); it must be \(requirement)"
    }
  }
}
