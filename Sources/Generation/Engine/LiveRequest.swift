internal import Grammars
internal import Scheduling

/// A request on the engine's thread, from its submission to its last event.
final class LiveRequest {
  let number: UInt64
  let outbox: Outbox
  let prompt: [Int32]
  let stop: StopConditions
  let logprobs: Int?
  let promptLogprobs: Int?
  let adapter: Int32
  let grammar: TokenGrammar?
  /// Others may learn from what it is answered.
  let sharesCache: Bool
  let arrival: UInt64
  /// By choice.
  var ids: [SequenceID] = []
  var unfinished: Int
  /// Events of this step, in order.
  var staged: [TokenEvent] = []
  var isTouched = false

  /// When a step first carried it; nil while it queues.
  var startTime: UInt64?
  var firstTokenTime: UInt64?
  var lastTokenTime: UInt64 = 0
  var longestOutput = 0
  var cachedTokens = 0
  /// Over all choices.
  var acceptedDrafts = 0
  var refusedDrafts = 0
  var reportedPrompt = false
  /// nil where tokens are wanted.
  var pool: EmbeddingPool?
  /// By prompt position, when asked for.
  var foundPromptLogprobs: [TokenLogprobs?] = []

  init(_ submission: Mailbox.Submission) {
    let request = submission.request
    number = submission.number
    outbox = submission.outbox
    prompt = request.prompt
    stop = request.stop
    logprobs = request.logprobs
    promptLogprobs = request.promptLogprobs
    adapter = request.adapter
    grammar = request.grammar
    sharesCache = request.cacheSalt == nil && request.adapter == 0
    arrival = submission.arrival
    unfinished = request.choices
    staged.reserveCapacity(2 * request.choices + 2)
    pool = request.embedding.map { EmbeddingPool($0, promptCount: request.prompt.count) }
    if promptLogprobs != nil {
      foundPromptLogprobs = Array(repeating: nil, count: request.prompt.count)
    }
  }
}

/// One choice of a live request.
final class LiveSequence {
  let request: LiveRequest
  let id: SequenceID
  let choice: Int
  let sampling: SamplingState
  var generated = 0
  /// When its last token came; until the first one, when the request came.
  var lastTokenTime: UInt64
  /// Of the tokens of this step.
  var logprobs: [TokenLogprobs] = []
  /// How its drafts fared; nil before the first.
  var acceptance: AcceptanceEstimate?
  /// How far it is in its grammar; nil without one.
  let grammar: GrammarProgress?
  /// The drafts of the step under way come from the grammar, not from speculation.
  var draftsAreForced = false
  /// What spoke for the drafts of the step under way (`DraftBatch.Subject`).
  var evidence = 0
  /// Why this step could not give it a token.
  var failure: String?

  init(request: LiveRequest, id: SequenceID, choice: Int, sampling: SamplingState) {
    self.request = request
    self.id = id
    self.choice = choice
    self.sampling = sampling
    grammar = request.grammar.map { GrammarProgress($0, endTokens: sampling.endTokens) }
    lastTokenTime = request.arrival
  }
}
