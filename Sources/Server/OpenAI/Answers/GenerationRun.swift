internal import Generation
internal import JSON
internal import Tokenizers

/// What happened to an answer, in the order it is told.
enum AnswerUpdate: Sendable {
  /// A prompt has been computed.
  case prompt(index: Int, PromptText?, cachedTokens: Int)
  case delta(choice: Int, token: Int32?, TextDelta)
}

/// A plan in the engine: one stream of events a prompt, read as one.
///
/// Used by one thread at a time; `cancel` from any.
final class GenerationRun {
  private struct Part {
    let stream: any GenerationStream
    var assemblers: [TextAssembler]
    var openChoices: Int
    var hasPrompt = false
  }
  let plan: GenerationPlan
  private let tokenizer: Tokenizer
  private var parts: [Part] = []
  /// Streams that may still have events, the one that had some last in front: it runs, so it is worth waiting on.
  private var open: [Int] = []
  private(set) var cachedTokens = 0
  /// Drafts of speculative decoding, right and wrong ones.
  private(set) var drafts = (accepted: 0, refused: 0)

  /// Submits every prompt, or none: when one is refused, those before it are cancelled.
  init(_ plan: GenerationPlan, id: String, model: ServedModel) throws(APIError) {
    self.plan = plan
    tokenizer = model.tokenizer
    for index in plan.prompts.indices {
      let request = plan.request(index, id: id, model: model)
      let stream: any GenerationStream
      do {
        stream = try model.service.submit(request)
      } catch {
        cancel()
        throw APIError(error)
      }
      var text = TextOptions()
      text.stopStrings = plan.options.stopStrings
      text.includesStopString = plan.options.includesStopString
      text.skipsSpecialTokens = plan.options.skipsSpecialTokens
      text.minTokens = plan.options.minTokens
      text.setEndTokens(request.stop)
      if plan.echoes, plan.logprobs != nil { text.initialOffset = promptLength(plan.prompts[index]) }
      parts.append(
        Part(
          stream: stream,
          assemblers: Array(repeating: TextAssembler(tokenizer, text), count: plan.options.choices),
          openChoices: plan.options.choices))
      open.append(index)
    }
  }

  /// Offsets of the output go on behind an echoed prompt.
  private func promptLength(_ prompt: GenerationPlan.Prompt) -> Int {
    let text =
      prompt.text
      ?? tokenizer.decode(prompt.tokens, skipSpecialTokens: plan.options.skipsSpecialTokens)
    return text.unicodeScalars.count
  }

  var streams: [any GenerationStream] { parts.map(\.stream) }

  /// Every choice has ended and been told.
  var isOver: Bool { open.isEmpty }

  /// Tokens generated so far, the ones that ended a choice included.
  var completionTokens: Int {
    if plan.generatesNothing { return 0 }
    return parts.reduce(0) { $0 + $1.assemblers.reduce(0) { $0 + $1.tokenCount } }
  }

  func completionTokens(ofChoice choice: Int) -> Int {
    let (part, index) = choice.quotientAndRemainder(dividingBy: plan.options.choices)
    return plan.generatesNothing ? 0 : parts[part].assemblers[index].tokenCount
  }

  func cancel() { for part in parts { part.stream.cancel() } }

  /// What has happened since the last call; waits up to the timeout when nothing has.
  func next(timeoutMilliseconds: Int) -> [AnswerUpdate] {
    var updates: [AnswerUpdate] = []
    // With several streams no single wait sees them all, but all that run get their tokens in the same steps: wait a
    // little on the one that had events last, then look at the others.
    let wait = open.count == 1 ? timeoutMilliseconds : min(timeoutMilliseconds, 10)
    var first = true
    var still: [Int] = []
    for index in open {
      let events = parts[index].stream.next(timeoutMilliseconds: first && updates.isEmpty ? wait : 0)
      first = false
      let before = updates.count
      if let events {
        for event in events { take(event, part: index, into: &updates) }
      } else {
        endUntoldChoices(part: index, into: &updates)
      }
      if parts[index].openChoices == 0 { continue }
      if updates.count > before { still.insert(index, at: 0) } else { still.append(index) }
    }
    open = still
    return updates
  }

  private func take(_ event: TokenEvent, part index: Int, into updates: inout [AnswerUpdate]) {
    let base = index * plan.options.choices
    switch event {
    case .prompt(let cached, let logprobs):
      cachedTokens += cached
      tellPrompt(part: index, cachedTokens: cached, logprobs: logprobs, into: &updates)
      if plan.generatesNothing {
        parts[index].stream.cancel()
        for choice in parts[index].assemblers.indices { end(choice, of: index, .length, into: &updates) }
      }
    case .token(let choice, let token, let logprobs):
      guard !plan.generatesNothing, parts[index].assemblers.indices.contains(choice),
        parts[index].assemblers[choice].end == nil
      else { return }
      if !parts[index].hasPrompt { tellPrompt(part: index, cachedTokens: 0, logprobs: nil, into: &updates) }
      let delta = parts[index].assemblers[choice].append(token, logprobs: logprobs)
      updates.append(.delta(choice: base + choice, token: token, delta))
      if delta.end != nil {
        parts[index].openChoices -= 1
        parts[index].stream.finish(choice: choice)
      }
    case .speculation(let accepted, let refused):
      drafts = (drafts.accepted + accepted, drafts.refused + refused)
    case .embedding: break
    case .finished(let choice, let reason):
      guard parts[index].assemblers.indices.contains(choice) else { return }
      end(choice, of: index, reason, into: &updates)
    }
  }

  private func tellPrompt(
    part index: Int, cachedTokens: Int, logprobs: [TokenLogprobs?]?, into updates: inout [AnswerUpdate]
  ) {
    parts[index].hasPrompt = true
    guard plan.echoes || plan.options.promptLogprobs != nil else {
      updates.append(.prompt(index: index, nil, cachedTokens: cachedTokens))
      return
    }
    let prompt = plan.prompts[index]
    var text = PromptText(
      prompt.tokens, logprobs: logprobs, tokenizer: tokenizer,
      skipsSpecialTokens: plan.options.skipsSpecialTokens)
    if let sent = prompt.text { text.text = sent }
    updates.append(.prompt(index: index, text, cachedTokens: cachedTokens))
  }

  private func end(_ choice: Int, of index: Int, _ reason: FinishReason, into updates: inout [AnswerUpdate]) {
    guard parts[index].assemblers[choice].end == nil else { return }
    if !parts[index].hasPrompt { tellPrompt(part: index, cachedTokens: 0, logprobs: nil, into: &updates) }
    let delta = parts[index].assemblers[choice].finish(reason)
    parts[index].openChoices -= 1
    let number = index * plan.options.choices + choice
    // The end goes with the last token when both came together: one event less.
    if case .delta(number, let token?, var last) = updates.last, last.end == nil {
      last.text += delta.text
      last.end = delta.end
      updates[updates.count - 1] = .delta(choice: number, token: token, last)
    } else {
      updates.append(.delta(choice: number, token: nil, delta))
    }
  }

  /// The stream is over without a word about some choices: an engine that stopped.
  private func endUntoldChoices(part index: Int, into updates: inout [AnswerUpdate]) {
    for choice in parts[index].assemblers.indices {
      end(choice, of: index, .failed("the engine stopped"), into: &updates)
    }
  }
}

extension APIError {
  init(_ error: SubmissionError) {
    self =
      switch error {
      case .overloaded(let seconds):
        APIError(
          429, .overloaded, "The server's queue is full. Please try again in \(seconds) s.",
          retryAfterSeconds: seconds)
      case .draining: .draining
      case .stopped(let reason): APIError(503, .unavailable, "The engine has stopped: \(reason)")
      case .promptTooLong(let tokens, let requested, let maximum):
        PromptLimits.tooLong(promptCount: tokens, wanted: requested, limit: maximum)
      case .emptyPrompt: .invalid("The prompt cannot be empty.", "prompt")
      case .tokenOutOfRange(_, let token, let size):
        .invalid(
          "Token id \(token) is out of vocabulary: ids are 0 to \(size - 1).", "prompt",
          value: .integer(Int64(token)))
      case .exceedsMemory(let needed, let total):
        .invalid(
          "The prompt and its output need \(needed) KV blocks, and this server has \(total). Please reduce the length "
            + "of the prompt, max_tokens or n.", "max_tokens")
      case .invalid(let field, let value, let requirement):
        .invalid("\(field) \(requirement), got \(value).", field, value: .integer(Int64(value)))
      }
  }

  static let clientLeft = APIError(
    clientClosedStatus, .cancelled,
    "The client closed its side of the connection before the answer was complete.")

  static let draining = APIError(
    503, .unavailable, "The server is shutting down and takes no new requests.", retryAfterSeconds: 1)
}
