/// Where one text is in its grammar.
package struct GrammarMatcher: Sendable {
  package let grammar: TokenGrammar
  private var state: LazyAutomaton.State = LazyAutomaton.dead
  /// Of the grammar's states when `state` was found; -1 before the first look.
  private var generation = -1
  /// The tokens so far: the way to follow again when states were forgotten.
  package private(set) var tokens: [Int32] = []
  /// The text may end here.
  package private(set) var isAccepting = false
  /// The text may end here and can't go on.
  package private(set) var isComplete = false

  init(_ grammar: TokenGrammar) { self.grammar = grammar }

  /// Words of 32 bits in a mask.
  package var wordCount: Int { grammar.vocabulary.wordCount }

  /// Looks where the text is; to be called before the first token when `isAccepting` matters.
  package mutating func begin() throws(GrammarFailure) {
    try withState { (_, _) throws(GrammarFailureOrFull) in }
  }

  /// Writes which tokens may come next: bit `token % 32` of word `token / 32`. Ends of text are not among them.
  /// - Parameter words: `wordCount` of them.
  package mutating func mask(into words: inout [UInt32]) throws(GrammarFailure) {
    precondition(words.count == wordCount, "a mask has \(wordCount) words")
    let vocabulary = grammar.vocabulary
    try withState { (work, state) throws(GrammarFailureOrFull) in
      try work.mask(of: state, vocabulary, into: &words)
    }
  }

  /// Takes a token; false, and nothing changes, when it can't come next.
  package mutating func advance(_ token: Int32) throws(GrammarFailure) -> Bool {
    guard token >= 0, Int(token) < grammar.vocabulary.count else { return false }
    let texts = grammar.vocabulary.texts
    let range = texts.range(token)
    if range.isEmpty { return false }
    let next = try withState { (work, state) throws(GrammarFailureOrFull) -> LazyAutomaton.State? in
      var next = state
      for index in range {
        next = try work.automaton.next(next, texts.bytes[index])
        if next == LazyAutomaton.dead { return nil }
      }
      return next
    }
    guard let next else { return false }
    tokens.append(token)
    state = next
    try begin()
    return true
  }

  /// The bytes that must come next, one after the other, as long as there is but one choice.
  package mutating func forcedBytes(limit: Int) throws(GrammarFailure) -> [UInt8] {
    try withState { (work, state) throws(GrammarFailureOrFull) -> [UInt8] in
      var bytes: [UInt8] = []
      var place = state
      while bytes.count < limit, !work.automaton.isAccepting[Int(place)] {
        let edges = work.automaton.edges(of: place)
        guard let first = edges.first, first.low == first.high,
          edges.allSatisfy({ $0.low == first.low && $0.high == first.low })
        else { break }
        place = try work.automaton.next(place, first.low)
        bytes.append(first.low)
      }
      return bytes
    }
  }

  private mutating func withState<Result>(
    _ body: (inout TokenGrammar.Work, LazyAutomaton.State) throws(GrammarFailureOrFull) -> Result
  ) throws(GrammarFailure) -> Result {
    let (tokens, texts) = (tokens, grammar.vocabulary.texts)
    let (oldState, oldGeneration) = (state, generation)
    let found = try grammar.withWork { (work) throws(GrammarFailureOrFull) in
      var state = oldState
      if work.generation != oldGeneration {
        state = work.automaton.start
        for token in tokens {
          for index in texts.range(token) { state = try work.automaton.next(state, texts.bytes[index]) }
        }
      }
      let result = try body(&work, state)
      return (
        result, state, work.generation, work.automaton.isAccepting[Int(state)],
        work.automaton.isComplete(state)
      )
    }
    (state, generation, isAccepting, isComplete) = (found.1, found.2, found.3, found.4)
    return found.0
  }
}
