package import Grammars
package import Tokenizers

/// Compiles the grammars of requests for one model, and keeps those that were asked for last: what was worked out for
/// one request serves the next with the same grammar. From any thread.
package final class GrammarCompiler: Sendable {
  private struct State: Sendable {
    var vocabulary: GrammarVocabulary?
    /// The one asked for last comes last.
    var known: [(key: String, grammar: TokenGrammar)] = []
  }
  private let tokenizer: Tokenizer
  private let vocabularySize: Int
  private let state = Monitor(State())

  /// Grammars kept; each holds some MiB of masks at most.
  private static let mostKnown = 16

  /// - Parameter vocabularySize: width of the model's rows of logits.
  package init(_ tokenizer: Tokenizer, vocabularySize: Int) {
    self.tokenizer = tokenizer
    self.vocabularySize = vocabularySize
  }

  /// Made by the first request that needs it.
  private var vocabulary: GrammarVocabulary {
    state.withLock { state in
      if let vocabulary = state.vocabulary { return vocabulary }
      let vocabulary = GrammarVocabulary(tokenizer, count: vocabularySize)
      state.vocabulary = vocabulary
      return vocabulary
    }
  }

  package func grammar(for specification: GrammarSpecification) throws(GrammarError) -> TokenGrammar {
    let key = specification.identity
    let known = state.withLock { state -> TokenGrammar? in
      guard let place = state.known.lastIndex(where: { $0.key.utf8.elementsEqual(key.utf8) }) else {
        return nil
      }
      state.known.append(state.known.remove(at: place))
      return state.known.last?.grammar
    }
    if let known { return known }
    let grammar = TokenGrammar(try GrammarAutomaton(specification), vocabulary: vocabulary)
    state.withLock { state in
      state.known.append((key, grammar))
      if state.known.count > Self.mostKnown { state.known.removeFirst() }
    }
    return grammar
  }
}

extension GrammarVocabulary {
  /// - Parameter count: width of a row of logits; tokens beyond are left out.
  package convenience init(_ tokenizer: Tokenizer, count: Int) {
    self.init(
      count: count,
      text: { token in
        if Int(token) >= tokenizer.vocabularySize || tokenizer.isSpecial(token) { return nil }
        return tokenizer.bytes(of: token)
      },
      usualTokens: { bytes in
        (try? tokenizer.encode(bytes, addSpecialTokens: false, parseSpecialTokens: false)) ?? []
      })
  }
}
