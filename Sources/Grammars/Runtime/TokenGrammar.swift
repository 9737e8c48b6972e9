/// A grammar over the tokens of one vocabulary: which may come next.
///
/// One object serves all requests with the grammar: what one has worked out, the others look up. Its methods may be
/// called from any thread; a matcher belongs to one.
package final class TokenGrammar: Sendable {
  let vocabulary: GrammarVocabulary
  private let state: WorkLock<Work>

  struct Work: Sendable {
    var automaton: LazyAutomaton
    var masks = MaskStore()
    /// Grows when all states are forgotten: matchers follow their text again.
    var generation = 0
  }

  package init(_ automaton: GrammarAutomaton, vocabulary: GrammarVocabulary) {
    self.vocabulary = vocabulary
    state = WorkLock(Work(automaton: LazyAutomaton(automaton)))
  }

  package func matcher() -> GrammarMatcher { GrammarMatcher(self) }

  /// The tokens that a text is usually made of.
  package func usualTokens(of text: [UInt8]) -> [Int32] { vocabulary.usualTokens(text) }

  /// States worked out so far.
  package var stateCount: Int { state.withLock { $0.automaton.stateCount } }

  func withWork<Result>(
    _ body: (inout Work) throws(GrammarFailureOrFull) -> Result
  ) throws(GrammarFailure) -> Result {
    let result = state.withLock { (work) -> Swift.Result<Result, GrammarFailure> in
      for _ in 0..<2 {
        do throws(GrammarFailureOrFull) {
          return .success(try body(&work))
        } catch {
          switch error {
          case .failure(let failure): return .failure(failure)
          case .full: work.forget()
          }
        }
      }
      return .failure(.tooAmbiguous)
    }
    return try result.get()
  }
}

extension TokenGrammar {
  /// As when there are too many of them.
  func forgetStates() { state.withLock { $0.forget() } }
}

extension TokenGrammar.Work {
  mutating func forget() {
    automaton.reset()
    masks = MaskStore()
    generation += 1
  }

  /// Writes the mask of a state: bit `token % 32` of word `token / 32`.
  mutating func mask(
    of state: LazyAutomaton.State, _ vocabulary: GrammarVocabulary, into words: inout [UInt32]
  ) throws(GrammarFailureOrFull) {
    if masks.read(state, into: &words) { return }
    let remaining = Int(automaton.stringRemaining[Int(state)])
    if remaining > 0 {
      let characters = vocabulary.characters
      characters.copyWhole(units: remaining, to: &words)
      try automaton.walkClosing(characters, from: state, into: &words)
      try automaton.walk(vocabulary.leaving, from: state, into: &words)
      // Tokens that can't stand in this string, or have too many characters for it, may be something else.
      if let outside = automaton.outsideString(state),
        automaton.edges(of: outside).contains(where: { !$0.isQuote })
      {
        try automaton.walk(vocabulary, from: outside, into: &words)
      }
    } else {
      unsafe words.withUnsafeMutableBufferPointer { unsafe $0.update(repeating: 0) }
      try automaton.walk(vocabulary, from: state, into: &words)
    }
    masks.write(state, words)
  }
}

extension GrammarAutomaton.ByteEdge {
  fileprivate var isQuote: Bool { low == UInt8(ascii: "\"") && high == low }
}
