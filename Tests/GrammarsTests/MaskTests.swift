import TestSupport
import Testing

@testable import Grammars

/// Masks against the definition: a token is allowed when the text with it can still become a whole one.
@Suite("Token masks")
struct MaskTests {
  /// A small vocabulary: all bytes, some tokens twice, and random strings over an alphabet.
  static func vocabulary(_ alphabet: [String], seed: UInt64, count: Int = 300) -> (
    GrammarVocabulary, [[UInt8]]
  ) {
    var generator = SeededGenerator(seed: seed)
    var tokens: [[UInt8]] = (0..<256).map { [UInt8($0)] }
    for _ in 0..<count {
      let length = Int.random(in: 1...4, using: &generator)
      tokens.append(
        (0..<length).flatMap { _ in Array(alphabet.randomElement(using: &generator)?.utf8 ?? "".utf8) })
    }
    // An id without a text, twins, and a part of a character.
    tokens += [[], tokens[70], [0xC3], [0xA9, 0x22], Array(repeating: 0x61, count: 300)]
    let texts = tokens
    return (GrammarVocabulary(count: tokens.count) { texts[Int($0)] }, tokens)
  }

  /// Follows bytes one by one.
  static func follow(
    _ lazy: inout LazyAutomaton, _ start: LazyAutomaton.State, _ bytes: [UInt8]
  ) throws -> LazyAutomaton.State {
    var state = start
    for byte in bytes where state != LazyAutomaton.dead { state = try lazy.next(state, byte) }
    return state
  }

  static let specifications: [(GrammarSpecification, [String])] = [
    (.regex("[a-c]{2,5}(x|é+)?"), ["a", "b", "c", "x", "é", "ab"]),
    (.regex(#"(a|b)*abb|\d+"#), ["a", "b", "1", "23"]),
    (.choice(["abc", "abd", "x", "é", "éa"]), ["a", "b", "c", "d", "x", "é"]),
    (.grammar(#"root ::= "(" root ")" | "[" root "]" | [ab]*"#), ["(", ")", "[", "]", "a", "()"]),
    (.grammar(#"root ::= "a" root "b" | "a" root "c" | """#), ["a", "b", "c", "ab", "aab"]),
    // Letters of each class, counted and not, in front of everything that may come behind them; tokens of up to 80.
    (
      .regex(#"[A-Za-z0-9_+-]{1,20}(\.[a-z]{1,3}){0,2}@[a-z]([a-z0-9-]{0,5}[a-z0-9])?"#),
      ["a", "B", "7", "_", "-", ".", "@", " ", "aaaaaaaaaaaaaaaaaaaa", "b.c", "a@"]
    ),
    (
      .regex("[A-Za-z ]{0,60}(: ?[a-z]*)?"),
      ["a", "B", " ", ": ", "the ", " the", "1", " (", "  ", "aaaaaaaaaaaaaaaaaaaa", " x:"]
    ),
    (
      .regex(#"([A-Za-z_][A-Za-z0-9_]*|true|[a-z]{3} [A-Z]{2,7}\?| ?[A-Za-z0-9_.~-]{3,50}/)*"#),
      ["a", "tr", "ue", "B", "_", "7", "~", "/", " ", "?", "zzzzzzzzzzzzzzzzzzzz", " Ab", "a/b"]
    ),
  ]

  @Test("are what following each token says", arguments: specifications.indices)
  func bruteForce(index: Int) throws {
    let (specification, alphabet) = Self.specifications[index]
    let automaton = try GrammarAutomaton(specification)
    try Self.compare(automaton, alphabet, seed: UInt64(index + 1))
  }

  static func compare(_ automaton: GrammarAutomaton, _ alphabet: [String], seed: UInt64) throws {
    let (vocabulary, tokens) = vocabulary(alphabet, seed: seed)
    let grammar = TokenGrammar(automaton, vocabulary: vocabulary)
    var generator = SeededGenerator(seed: seed)
    var lazy = LazyAutomaton(automaton)
    var endings = 0
    for _ in 0..<12 {
      var matcher = grammar.matcher()
      var text: [UInt8] = []
      for _ in 0..<20 {
        var words = [UInt32](repeating: 0, count: matcher.wordCount)
        try matcher.mask(into: &words)
        let place = try follow(&lazy, lazy.start, text)
        var allowed: [Int32] = []
        for (token, bytes) in tokens.enumerated() {
          let isAllowed = words[token / 32] >> UInt32(token % 32) & 1 == 1
          let end = try follow(&lazy, place, bytes)
          let expected = !bytes.isEmpty && bytes.count <= 255 && end != LazyAutomaton.dead
          #expect(isAllowed == expected, "token \(token) \(bytes) behind \(text)")
          if isAllowed { allowed.append(Int32(token)) }
        }
        #expect(place != LazyAutomaton.dead && lazy.isAccepting[Int(place)] == matcher.isAccepting)
        if matcher.isComplete { #expect(allowed.isEmpty && matcher.isAccepting) }
        guard let token = allowed.randomElement(using: &generator) else {
          #expect(matcher.isComplete)
          endings += 1
          break
        }
        #expect(try matcher.advance(token))
        text += tokens[Int(token)]
      }
    }
    #expect(endings > 0 || lazy.stateCount > 2)
  }

  @Test("survive that all states are forgotten")
  func forgetting() throws {
    let (vocabulary, tokens) = Self.vocabulary(["a", "b"], seed: 5)
    let grammar = TokenGrammar(try GrammarAutomaton(.regex("(ab|ba)+")), vocabulary: vocabulary)
    var matcher = grammar.matcher()
    var words = [UInt32](repeating: 0, count: matcher.wordCount)
    #expect(try matcher.advance(0x61))
    try matcher.mask(into: &words)
    grammar.forgetStates()
    var again = [UInt32](repeating: 0, count: matcher.wordCount)
    try matcher.mask(into: &again)
    #expect(words == again)
    #expect(try matcher.advance(0x62))
    #expect(try !matcher.advance(0x63))
    #expect(matcher.isAccepting && !matcher.isComplete)
    #expect(tokens.count > 256)
  }
}
