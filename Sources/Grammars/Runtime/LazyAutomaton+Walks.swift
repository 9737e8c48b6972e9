/// Which tokens can follow a state: walks over a vocabulary.
extension LazyAutomaton {
  /// Sets the bits of all tokens that can follow.
  mutating func walk(
    _ vocabulary: GrammarVocabulary, from state: State, into words: inout [UInt32]
  ) throws(GrammarFailureOrFull) {
    for (number, letters) in vocabulary.letters.enumerated() {
      guard let run = try self.run(from: state, number, letters), run.length > 0 else { continue }
      letters.plain.addWhole(units: run.length, to: &words)
      try walk(letters.plain, along: run, into: &words)
      try walk(letters.rest, from: state, into: &words)
      try walk(vocabulary.all, letters.others, from: state, into: &words)
      let behind = try next(state, LetterRuns.space)
      if behind == Self.dead { return }
      guard let spaced = try self.run(from: behind, number, letters), spaced.length > 0 else {
        try walk(vocabulary.all, [vocabulary.spaced], from: state, into: &words)
        return
      }
      if let first = vocabulary.spaced.first {
        try walk(vocabulary.all, [first..<first + 1], from: state, into: &words)
      }
      letters.spaced.addWhole(units: spaced.length, to: &words)
      try walk(letters.spaced, along: spaced, into: &words)
      try walk(vocabulary.all, letters.spacedOthers, behind: behind, into: &words)
      return
    }
    try walk(vocabulary.all, from: state, into: &words)
  }

  /// Sets the bits of all tokens of the trie that can follow.
  mutating func walk(
    _ trie: TokenTrie, from state: State, into words: inout [UInt32]
  ) throws(GrammarFailureOrFull) {
    if !trie.nodes.isEmpty { try walk(trie, [0..<trie.nodes.count], from: state, into: &words) }
  }

  /// The same for parts of the trie, all of whose tokens begin at `state`; or behind their first byte, with those of
  /// `behind`.
  private mutating func walk(
    _ trie: TokenTrie, _ parts: [Range<Int>], from state: State = dead, behind: State = dead,
    into words: inout [UInt32]
  ) throws(GrammarFailureOrFull) {
    if parts.isEmpty { return }
    var states = [State](repeating: state, count: TokenTrie.longestToken + 1)
    states[1] = behind
    try unsafe trie.nodes.withUnsafeBufferPointer { nodes throws(GrammarFailureOrFull) in
      try unsafe states.withUnsafeMutableBufferPointer { states throws(GrammarFailureOrFull) in
        try unsafe words.withUnsafeMutableBufferPointer { words throws(GrammarFailureOrFull) in
          for part in parts {
            var index = part.lowerBound
            while index < part.upperBound {
              let node = unsafe nodes[index]
              let depth = TokenTrie.depth(node)
              let next = try unsafe next(states[depth - 1], TokenTrie.byte(node))
              if next == Self.dead {
                index = TokenTrie.skip(node)
                continue
              }
              unsafe states[depth] = next
              var token = TokenTrie.token(node)
              while token >= 0 {
                unsafe words[token >> 5] |= 1 << UInt32(truncatingIfNeeded: token & 31)
                token = trie.twins.isEmpty ? -1 : Int(trie.twins[token])
              }
              index += 1
            }
          }
        }
      }
    }
  }

  // MARK: Runs

  /// Where a text is behind 0, 1, … units, any of them.
  struct Run {
    var places: [State]
    /// More units lead nowhere else than to the last place; otherwise nowhere.
    var repeats = false

    /// Units that can follow.
    var length: Int { repeats ? .max : places.count - 1 }
  }

  /// The run of a class of letters; nil when not all letters that can stand somewhere in it lead to the same place.
  ///
  /// - Parameter number: of the class, among those of the vocabulary.
  private mutating func run(
    from state: State, _ number: Int, _ letters: LetterRuns
  ) throws(GrammarFailureOrFull) -> Run? {
    while representatives.count <= number { representatives.append([]) }
    if representatives[number].isEmpty { representatives[number] = distinct(letters.letters) }
    let bytes = representatives[number]
    var run = Run(places: [state])
    let longest = max(letters.plain.longestRun, letters.spaced.longestRun)
    while run.places.count <= longest {
      let place = run.places[run.places.count - 1]
      let following = try next(place, bytes[0])
      for byte in bytes {
        let other = try next(place, byte)
        if other != following { return nil }
      }
      if following == Self.dead { break }
      if following == place {
        run.repeats = true
        break
      }
      run.places.append(following)
    }
    return run
  }

  /// Of bytes that the grammar does not tell apart, the first.
  private func distinct(_ bytes: [UInt8]) -> [UInt8] {
    var seen = [Bool](repeating: false, count: automaton.classes.count)
    return bytes.filter { byte in
      let number = Int(automaton.classes.classOf[Int(byte)])
      defer { seen[number] = true }
      return !seen[number]
    }
  }

  /// Sets the bits of tokens that close the string in front of whose character the state is. How many characters the string
  /// still takes is tried with one of them: to its rule all are alike.
  mutating func walkClosing(
    _ characters: TokenRuns, from state: State, into words: inout [UInt32]
  ) throws(GrammarFailureOrFull) {
    // No characters: the quote may also be another place's than the string's.
    var run = Run(places: [state])
    if var place = insideString(state) {
      while run.places.count <= characters.longestRun {
        let following = try next(place, UInt8(ascii: "a"))
        if following == Self.dead { break }
        run.places.append(following)
        // It counts nothing: all further lengths are like this one.
        run.repeats = following == place
        if run.repeats { break }
        place = following
      }
    }
    try walk(characters, along: run, into: &words)
  }

  /// States behind the first byte of a tail, and the numbers of units in front of it that lead there.
  private struct Way {
    var state: State
    /// Bit n for n units.
    var lengths: UInt64
  }

  /// Sets the bits of the tokens with a tail that can follow.
  private mutating func walk(
    _ runs: TokenRuns, along run: Run, into words: inout [UInt32]
  ) throws(GrammarFailureOrFull) {
    var states = [State](repeating: Self.dead, count: TokenTrie.longestToken + 1)
    var ways = [[Way]?](repeating: nil, count: automaton.classes.count)
    try unsafe runs.tails.nodes.withUnsafeBufferPointer { nodes throws(GrammarFailureOrFull) in
      try unsafe states.withUnsafeMutableBufferPointer { states throws(GrammarFailureOrFull) in
        try unsafe words.withUnsafeMutableBufferPointer { words throws(GrammarFailureOrFull) in
          for head in runs.heads {
            let number = Int(automaton.classes.classOf[Int(head.byte)])
            if ways[number] == nil { ways[number] = try self.ways(along: run, head.byte) }
            for way in ways[number] ?? [] where way.lengths & runs.lengthsBelow[head.nodes.lowerBound] != 0 {
              unsafe states[1] = way.state
              try unsafe walk(runs, head.nodes, nodes, way.lengths, &states, words)
            }
          }
        }
      }
    }
  }

  private mutating func ways(along run: Run, _ byte: UInt8) throws(GrammarFailureOrFull) -> [Way] {
    var ways: [Way] = []
    for (count, place) in run.places.enumerated() {
      let state = try next(place, byte)
      if state == Self.dead { continue }
      let isLast = run.repeats && count == run.places.count - 1
      let lengths: UInt64 = isLast ? ~0 << UInt64(count) : 1 << UInt64(count)
      if let same = ways.firstIndex(where: { $0.state == state }) {
        ways[same].lengths |= lengths
      } else {
        ways.append(Way(state: state, lengths: lengths))
      }
    }
    return ways
  }

  /// The tails of one first byte, which has been followed.
  @inline(__always)
  private mutating func walk(
    _ runs: TokenRuns, _ range: Range<Int>, _ nodes: UnsafeBufferPointer<UInt64>, _ lengths: UInt64,
    _ states: inout UnsafeMutableBufferPointer<State>, _ words: UnsafeMutableBufferPointer<UInt32>
  ) throws(GrammarFailureOrFull) {
    var index = range.lowerBound
    while index < range.upperBound {
      let node = unsafe nodes[index]
      if lengths & runs.lengthsBelow[index] == 0 {
        index = TokenTrie.skip(node)
        continue
      }
      let depth = TokenTrie.depth(node)
      if depth > 1 {
        let next = try unsafe next(states[depth - 1], TokenTrie.byte(node))
        if next == Self.dead {
          index = TokenTrie.skip(node)
          continue
        }
        unsafe states[depth] = next
      }
      let tail = TokenTrie.token(node)
      if tail >= 0 { unsafe runs.add(tail, lengths: lengths, to: words) }
      index += 1
    }
  }
}
