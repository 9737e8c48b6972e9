import TestSupport
import Testing

@testable import Grammars

@Suite("Grammars in GBNF")
struct GrammarParserTests {
  private static func accepts(_ automaton: GrammarAutomaton, _ text: String) throws -> Bool {
    var lazy = LazyAutomaton(automaton)
    var state = lazy.start
    for byte in text.utf8 { state = try lazy.next(state, byte) }
    return lazy.isAccepting[Int(state)]
  }

  @Test("derive what they say")
  func languages() throws {
    let arithmetic = """
      # sums of products
      root   ::= term (ws [-+] ws term)*
      term   ::= factor (ws ("*" | '/') ws factor)*
      factor ::= number | "(" ws root ws ")"
      number ::= [0-9]{1,3} ("." [0-9]+)?
      ws     ::= " "?
      """
    let cases: [(String, [String], [String])] = [
      (arithmetic, ["1", "1+2", "(1 + 2)*3.5", "((7))"], ["", "1+", "1234", "(1", "1 +  2"]),
      (#"root ::= "\x41\u00e9\n" [^a-c\]] . "#, ["Aé\nd🙂"], ["Aé\na1", "Aé\n]1", "Aé\nd"]),
      ("root ::= a | b\na ::= \"x\" b?\nb ::=\n  \"y\"", ["x", "xy", "y"], ["", "yx", "xx"]),
      (#"root ::= "a" root "b" | """#, ["", "ab", "aabb"], ["a", "abb", "aab"]),
      (#"root ::= ("a"?)* ("b" | "")* "c""#, ["c", "abc", "aabbc"], ["ba", "bac"]),
      // Right recursion does not use up depth.
      (#"root ::= "a" root | "b""#, [String(repeating: "a", count: 2000) + "b"], ["a"]),
    ]
    for (grammar, inside, outside) in cases {
      let automaton = try GrammarAutomaton(.grammar(grammar))
      for text in inside { #expect(try Self.accepts(automaton, text), "\(text) in \(grammar)") }
      for text in outside { #expect(try !Self.accepts(automaton, text), "\(text) in \(grammar)") }
    }
  }

  @Test(
    "with mistakes are refused where they are",
    arguments: [
      ("root := \"a\"", 1, 6), ("root ::= a", 1, 10), ("a ::= \"x\"", 1, 1), ("root ::= \"a", 1, 10),
      ("root ::= (\"a\"", 1, 10), ("root ::= \"a\"\nroot ::= \"b\"", 2, 1), ("root ::= [b-a]", 1, 14),
      ("root ::= \"\\q\"", 1, 11), ("root ::= \"a\"{3,1}", 1, 18), ("root ::= %", 1, 10), ("", 1, 1),
      ("root ::= \"a\" )", 1, 14),
    ])
  func mistakes(grammar: String, line: Int, column: Int) {
    let error = #expect(throws: GrammarError.self) { try GrammarAutomaton(.grammar(grammar)) }
    guard case .grammar(line, column, _) = error else {
      Issue.record("\(grammar): \(String(describing: error))")
      return
    }
  }

  @Test(
    "that begin with themselves or never end are refused",
    arguments: [
      #"root ::= root "a" | "b""#, "root ::= a\na ::= \"x\"? root \"y\" | \"z\"", #"root ::= "a" root"#,
      "root ::= a\na ::= \"(\" b\nb ::= a",
    ])
  func recursion(grammar: String) {
    #expect(throws: GrammarError.self) { try GrammarAutomaton(.grammar(grammar)) }
  }

  @Test("that are ambiguous stay small")
  func ambiguity() throws {
    // After n times "a" there are 2^n stacks of what is due.
    let automaton = try GrammarAutomaton(.grammar(#"root ::= "a" root "b" | "a" root "c" | """#))
    var lazy = LazyAutomaton(automaton)
    var state = lazy.start
    for _ in 0..<120 { state = try lazy.next(state, 0x61) }
    for byte in 0..<120 { state = try lazy.next(state, byte % 3 == 0 ? 0x62 : 0x63) }
    #expect(lazy.isComplete(state))
  }

  @Test("can be left at any depth")
  func depth() throws {
    // Deeper than is followed: there the grammar only lets the text come back up.
    let automaton = try GrammarAutomaton(.grammar(#"root ::= "(" root ")" | "x""#))
    var lazy = LazyAutomaton(automaton)
    var state = lazy.start
    var opened = 0
    while true {
      let next = try lazy.next(state, 0x28)
      if next == LazyAutomaton.dead { break }
      state = next
      opened += 1
    }
    #expect(opened == Int(GrammarAutomaton.deepest))
    state = try lazy.next(state, 0x78)
    for _ in 0..<opened { state = try lazy.next(state, 0x29) }
    #expect(lazy.isComplete(state))
  }

  /// Random grammars without recursion, against the set of all texts they derive.
  @Test("masks of random grammars are what following each token says")
  func randomMasks() throws {
    var generator = SeededGenerator(seed: 21)
    for round in 0..<6 {
      var rules = ["root ::= r0"]
      for index in 0..<4 {
        let parts = (0..<3).map { _ -> String in
          let next = index < 3 ? "r\(index + 1)" : "\"a\""
          return ["\"a\"", "\"ab\" \(next)", "[bc]+ \(next)?", "(\(next) \"c\"){0,2} \"b\""].randomElement(
            using: &generator) ?? next
        }
        rules.append("r\(index) ::= " + parts.joined(separator: " | "))
      }
      let automaton = try GrammarAutomaton(.grammar(rules.joined(separator: "\n")))
      try MaskTests.compare(automaton, ["a", "b", "c", "ab"], seed: UInt64(100 + round))
    }
  }
}
