package import Tokenizers

/// A token's log-probabilities with the strings that APIs show.
package struct AssembledToken: Sendable, Equatable {
  package struct Entry: Sendable, Equatable {
    package var token: Int32
    /// The token's text; `bytes:\xe2\x80` where its bytes are not whole characters, as OpenAI writes it, so that
    /// different tokens stay different.
    package var text: String
    package var bytes: [UInt8]
    package var logprob: Float
    package var rank: Int

    init(_ entry: TokenLogprobs.Entry, _ tokenizer: Tokenizer) {
      token = entry.token
      bytes = tokenizer.bytes(of: entry.token)
      text = Self.text(of: bytes)
      logprob = entry.logprob
      rank = entry.rank
    }

    /// Bytes as text where they are whole characters, otherwise spelled out.
    package static func text(of bytes: [UInt8]) -> String {
      if let text = String(validating: bytes, as: UTF8.self) { return text }
      var spelled = "bytes:"
      for byte in bytes {
        let digits = String(byte, radix: 16)
        spelled += digits.count == 1 ? "\\x0" + digits : "\\x" + digits
      }
      return spelled
    }
  }

  package var chosen: Entry
  /// The most likely tokens, best first.
  package var top: [Entry]
  /// Characters (Unicode scalars) of text in front of this token.
  package var offset: Int

  package init(_ logprobs: TokenLogprobs, offset: Int, tokenizer: Tokenizer) {
    chosen = Entry(logprobs.chosen, tokenizer)
    top = logprobs.top.map { Entry($0, tokenizer) }
    self.offset = offset
  }
}

/// The prompt as text, token by token, for echoed completions and prompt log-probabilities.
package struct PromptText: Sendable, Equatable {
  package struct Token: Sendable, Equatable {
    package var token: Int32
    package var text: String
    package var offset: Int
    /// Nil for the first token, which nothing predicts.
    package var logprobs: AssembledToken?
  }
  package var text: String
  package var tokens: [Token]

  /// - Parameter logprobs: the engine's, one a token; nil when none were asked for.
  package init(_ prompt: [Int32], logprobs: [TokenLogprobs?]?, tokenizer: Tokenizer, skipsSpecialTokens: Bool)
  {
    var stream = DetokenizerStream(tokenizer, skipSpecialTokens: skipsSpecialTokens)
    var text = ""
    var offset = 0
    var tokens: [Token] = []
    for (index, token) in prompt.enumerated() {
      let found = logprobs.flatMap { index < $0.count ? $0[index] : nil }
      tokens.append(
        Token(
          token: token, text: AssembledToken.Entry.text(of: tokenizer.bytes(of: token)), offset: offset,
          logprobs: found.map { AssembledToken($0, offset: offset, tokenizer: tokenizer) }))
      let piece = stream.append(token)
      text += piece
      offset += piece.unicodeScalars.count
    }
    text += stream.finish()
    self.text = text
    self.tokens = tokens
  }
}
