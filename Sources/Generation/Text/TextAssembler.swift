package import Tokenizers

/// How the tokens of a choice become text.
package struct TextOptions: Sendable {
  /// Text that ends the choice; empty strings are ignored.
  package var stopStrings: [String] = []
  /// The text keeps the stop string, or the text of the stop token, that ended it.
  package var includesStopString = false
  package var skipsSpecialTokens = true
  /// Stop strings that end within the text of this many first tokens are passed over.
  package var minTokens = 0
  /// Tokens that end a choice: their text is no part of it, unless `includesStopString`.
  package var endTokens: Set<Int32> = []
  /// Characters (Unicode scalars) in front of the generated text, for `AssembledToken.offset`; the length of
  /// the prompt's text when it is echoed.
  package var initialOffset = 0

  package init() {}

  /// The end tokens of a request.
  package mutating func setEndTokens(_ stop: StopConditions) {
    endTokens = Set(stop.stopTokens)
    if !stop.ignoreEndOfText { endTokens.formUnion(stop.endOfTextTokens) }
  }
}

/// Why a choice's text is over.
package enum TextEnd: Sendable, Equatable {
  /// An end-of-text token.
  case endOfText
  case stopToken(Int32)
  /// A stop string. The engine does not know of it: tell it with `GenerationStream.finish(choice:)`.
  case stopString(String)
  case length
  case aborted
  case failed(String)
}

/// What one token, or the end, adds to a choice.
package struct TextDelta: Sendable, Equatable {
  /// Whole characters; empty while text is held back.
  package var text = ""
  /// The token with its log-probabilities, when the event had them.
  package var logprobs: AssembledToken?
  /// The choice is over with this delta.
  package var end: TextEnd?

  package init(text: String = "", logprobs: AssembledToken? = nil, end: TextEnd? = nil) {
    self.text = text
    self.logprobs = logprobs
    self.end = end
  }
}

/// Turns the token events of one choice into text, the same text however the events are bundled.
///
/// ```
/// tokens ─→ DetokenizerStream ─→ StopMatcher ─→ deltas
///           whole characters     holds back what may become a stop string
/// ```
/// A choice ends once: after a delta with `end` every further call gives an empty delta.
package struct TextAssembler: Sendable {
  private let tokenizer: Tokenizer
  private let options: TextOptions
  private var detokenizer: DetokenizerStream
  private var matcher: StopMatcher
  /// Scalars of the text of all tokens so far, whether shown or not.
  private var offset: Int
  /// Tokens of this choice so far.
  package private(set) var tokenCount = 0
  package private(set) var end: TextEnd?

  package init(_ tokenizer: Tokenizer, _ options: TextOptions) {
    self.tokenizer = tokenizer
    self.options = options
    detokenizer = DetokenizerStream(tokenizer, skipSpecialTokens: options.skipsSpecialTokens)
    matcher = StopMatcher(options.stopStrings, includesMatch: options.includesStopString)
    offset = options.initialOffset
  }

  /// Takes a token. A delta that ends the choice here ends it with a stop string; call
  /// `GenerationStream.finish(choice:)` then.
  package mutating func append(_ token: Int32, logprobs: TokenLogprobs? = nil) -> TextDelta {
    if end != nil { return TextDelta() }
    tokenCount += 1
    var delta = TextDelta()
    if let logprobs {
      delta.logprobs = AssembledToken(logprobs, offset: offset, tokenizer: tokenizer)
    }
    if options.endTokens.contains(token) && !options.includesStopString { return delta }
    let piece = detokenizer.append(token)
    delta.text = show(piece)
    offset += piece.unicodeScalars.count
    if let stop = matcher.match {
      delta.end = .stopString(stop)
      end = delta.end
    }
    return delta
  }

  /// Takes the end the engine gave, and gives what was held back.
  package mutating func finish(_ reason: FinishReason) -> TextDelta {
    if end != nil { return TextDelta() }
    var text = show(detokenizer.finish())
    if let stop = matcher.match {
      end = .stopString(stop)
    } else {
      text += matcher.finish()
      end = TextEnd(reason)
    }
    return TextDelta(text: text, end: end)
  }

  private mutating func show(_ piece: String) -> String {
    piece.isEmpty ? "" : matcher.append(piece, searching: tokenCount > options.minTokens)
  }
}

extension TextEnd {
  package init(_ reason: FinishReason) {
    switch reason {
    case .endOfText: self = .endOfText
    case .stopToken(let token): self = .stopToken(token)
    case .length: self = .length
    case .aborted: self = .aborted
    case .failed(let message): self = .failed(message)
    }
  }
}
