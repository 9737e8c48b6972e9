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
      vocabulary.copyInside(characters: remaining, to: &words)
      try automaton.walk(vocabulary.closing, from: state, into: &words)
      try automaton.walk(vocabulary.leaving, from: state, into: &words)
      // Tokens that can't stand in this string, or have too many characters for it, may be something else.
      if let outside = automaton.outsideString(state),
        automaton.edges(of: outside).contains(where: { !$0.isQuote })
      {
        try automaton.walk(vocabulary.all, from: outside, into: &words)
      }
    } else {
      unsafe words.withUnsafeMutableBufferPointer { unsafe $0.update(repeating: 0) }
      try automaton.walk(vocabulary.all, from: state, into: &words)
    }
    masks.write(state, words)
  }
}

extension GrammarAutomaton.ByteEdge {
  fileprivate var isQuote: Bool { low == UInt8(ascii: "\"") && high == low }
}

extension LazyAutomaton {
  /// Sets the bits of all tokens of the trie that can follow.
  mutating func walk(
    _ trie: TokenTrie, from state: State, into words: inout [UInt32]
  ) throws(GrammarFailureOrFull) {
    try unsafe words.withUnsafeMutableBufferPointer { words throws(GrammarFailureOrFull) in
      try walk(trie, from: state) { first in
        var token = first
        while token >= 0 {
          unsafe words[token >> 5] |= 1 << UInt32(truncatingIfNeeded: token & 31)
          token = trie.twins.isEmpty ? -1 : Int(trie.twins[token])
        }
      }
    }
  }

  /// The same for tokens that close the string in front of whose character the state is. How many characters the string
  /// still takes is tried with one of them: to its rule all are alike.
  mutating func walk(
    _ closing: ClosingTokens, from state: State, into words: inout [UInt32]
  ) throws(GrammarFailureOrFull) {
    // By what follows the quote: bit n of the lengths for n characters before it.
    var ways: [(state: State, lengths: UInt64)] = []
    func add(_ state: State, _ lengths: UInt64) {
      if state == Self.dead { return }
      for index in ways.indices where ways[index].state == state {
        ways[index].lengths |= lengths
        return
      }
      ways.append((state, lengths))
    }
    let quote = UInt8(ascii: "\"")
    add(try next(state, quote), 1)
    if var place = insideString(state) {
      for count in 1...max(1, closing.mostCharacters) {
        let following = try next(place, UInt8(ascii: "a"))
        if following == Self.dead { break }
        // It counts nothing: all further lengths are like this one.
        let isLast = following == place
        add(try next(following, quote), isLast ? ~0 << UInt64(count) : 1 << UInt64(count))
        if isLast { break }
        place = following
      }
    }
    try unsafe words.withUnsafeMutableBufferPointer { words throws(GrammarFailureOrFull) in
      for way in ways {
        if closing.emptyTail >= 0 { unsafe closing.add(closing.emptyTail, lengths: way.lengths, to: words) }
        try walk(closing.tails, from: way.state) { tail in
          unsafe closing.add(tail, lengths: way.lengths, to: words)
        }
      }
    }
  }

  /// Calls `visit` with the tokens of the trie that can follow; of twins with the first.
  @inline(__always)
  private mutating func walk(
    _ trie: TokenTrie, from state: State, _ visit: (Int) -> Void
  ) throws(GrammarFailureOrFull) {
    var states = [State](repeating: state, count: TokenTrie.longestToken + 1)
    try unsafe trie.nodes.withUnsafeBufferPointer { nodes throws(GrammarFailureOrFull) in
      try unsafe states.withUnsafeMutableBufferPointer { states throws(GrammarFailureOrFull) in
        var index = 0
        while index < nodes.count {
          let node = unsafe nodes[index]
          let depth = TokenTrie.depth(node)
          let next = try unsafe next(states[depth - 1], TokenTrie.byte(node))
          if next == Self.dead {
            index = TokenTrie.skip(node)
            continue
          }
          unsafe states[depth] = next
          let token = TokenTrie.token(node)
          if token >= 0 { visit(token) }
          index += 1
        }
      }
    }
  }
}

/// Masks that have been worked out, as many as fit a bound; then all are forgotten.
struct MaskStore: Sendable {
  private enum Mask: Sendable {
    /// All words.
    case full([UInt32])
    /// Words that are not 0, as `place << 32 | word`.
    case sparse([UInt64])
  }
  private var masks: [LazyAutomaton.State: Mask] = [:]
  private var bytes = 0

  static let mostBytes = 8 << 20

  func read(_ state: LazyAutomaton.State, into words: inout [UInt32]) -> Bool {
    switch masks[state] {
    case nil: return false
    case .full(let mask):
      unsafe words.withUnsafeMutableBufferPointer { words in
        _ = unsafe words.update(fromContentsOf: mask)
      }
    case .sparse(let mask):
      unsafe words.withUnsafeMutableBufferPointer { unsafe $0.update(repeating: 0) }
      for entry in mask { words[Int(entry >> 32)] = UInt32(truncatingIfNeeded: entry) }
    }
    return true
  }

  mutating func write(_ state: LazyAutomaton.State, _ words: [UInt32]) {
    var filled = 0
    for word in words where word != 0 { filled += 1 }
    let isSparse = filled * 4 < words.count
    let size = isSparse ? filled * 8 : words.count * 4
    if bytes + size > Self.mostBytes {
      masks.removeAll()
      bytes = 0
    }
    bytes += size
    if isSparse {
      var entries: [UInt64] = []
      entries.reserveCapacity(filled)
      for (place, word) in words.enumerated() where word != 0 {
        entries.append(UInt64(place) << 32 | UInt64(word))
      }
      masks[state] = .sparse(entries)
    } else {
      masks[state] = .full(Array(words))
    }
  }
}
