import CPCRE2
import TestSupport
import Testing

@testable import Grammars

/// A compiled PCRE2 pattern, matched in UTF-8 mode: the reference.
@safe
final class ReferencePattern {
  private let code: OpaquePointer

  /// - Parameter isWhole: the pattern has to match all of a text.
  init?(_ pattern: String, isWhole: Bool) {
    var failure: Int32 = 0
    var offset = 0
    let options = UInt32(PCRE2_UTF) | UInt32(PCRE2_DOLLAR_ENDONLY)
    let text = Array((isWhole ? "^(?:" + pattern + ")$" : pattern).utf8)
    guard let code = unsafe pcre2_compile_8(text, text.count, options, &failure, &offset, nil) else {
      return nil
    }
    unsafe self.code = code
  }

  deinit { unsafe pcre2_code_free_8(code) }

  func matches(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    let data = unsafe pcre2_match_data_create_8(1, nil)
    defer { unsafe pcre2_match_data_free_8(data) }
    return unsafe pcre2_match_8(code, bytes, bytes.count, 0, 0, data, nil) >= 0
  }
}

@Suite("Regular expressions")
struct RegexTests {
  private static let limits = GrammarLimits()

  /// A random expression over few characters, in what all dialects share.
  static func random(_ depth: Int, _ generator: inout SeededGenerator) -> String {
    switch Int.random(in: 0..<(depth > 0 ? 12 : 6), using: &generator) {
    case 0, 1, 2: return ["a", "b", "c", "é", "🙂", "\\."].randomElement(using: &generator) ?? "a"
    case 3:
      return ["[ab]", "[^a]", "[a-cé]", "[^b-d🙂]", "\\d", "[\\d_]"].randomElement(using: &generator) ?? "a"
    case 4: return "."
    case 5: return ["\\w", "\\x61", "[\\x62-\\x63]"].randomElement(using: &generator) ?? "a"
    case 6, 7: return random(depth - 1, &generator) + random(depth - 1, &generator)
    case 8: return "(" + random(depth - 1, &generator) + "|" + random(depth - 1, &generator) + ")"
    case 9: return "(?:" + random(depth - 1, &generator) + ")*"
    case 10: return "(" + random(depth - 1, &generator) + ")?" + random(depth - 1, &generator)
    default:
      let low = Int.random(in: 0...2, using: &generator)
      return "(" + random(depth - 1, &generator)
        + "){\(low),\(low + Int.random(in: 0...2, using: &generator))}"
    }
  }

  static func text(_ generator: inout SeededGenerator) -> String {
    (0..<Int.random(in: 0...6, using: &generator)).map { _ in
      ["a", "b", "c", "d", "é", "🙂", ".", "1", "_", " "].randomElement(using: &generator) ?? ""
    }.joined()
  }

  /// nil where the automaton would be too large.
  private static func compiled(
    _ pattern: String, isWhole: Bool, _ limits: GrammarLimits
  ) throws(GrammarError) -> ByteDFA? {
    let result = Result { () throws(GrammarError) in
      isWhole
        ? try Regex.whole(pattern, path: "regex", limits: limits)
        : try Regex.search(pattern, path: "regex", limits: limits)
    }
    if case .failure(.tooLarge) = result { return nil }
    return try result.get()
  }

  @Test("match what PCRE2 matches", arguments: [true, false])
  func reference(isWhole: Bool) throws {
    var generator = SeededGenerator(seed: isWhole ? 11 : 12)
    var matches = 0
    var tooLarge = 0
    var limits = Self.limits
    limits.regexStates = 2000
    for _ in 0..<400 {
      var pattern = Self.random(3, &generator)
      if !isWhole {
        pattern =
          ["", "^"].randomElement(using: &generator).map { $0 + pattern } ?? pattern
        pattern += ["", "$", "|^b$"].randomElement(using: &generator) ?? ""
      }
      let reference = try #require(ReferencePattern(pattern, isWhole: isWhole), "\(pattern)")
      guard let automaton = try Self.compiled(pattern, isWhole: isWhole, limits) else {
        tooLarge += 1
        continue
      }
      for _ in 0..<40 {
        let text = Self.text(&generator)
        let expected = reference.matches(text)
        matches += expected ? 1 : 0
        #expect(automaton.accepts(text.utf8) == expected, "\(pattern) on '\(text)'")
      }
    }
    #expect(matches > 200 && tooLarge < 40)
  }

  @Test(
    "that are none, or say more than a language, are refused where the trouble is",
    arguments: [
      ("a(b", 3), ("a)b", 1), ("[a", 2), ("a**", 2), ("*a", 0), ("a{3,2}", 5), ("(?=a)", 2), ("(?<!a)", 2),
      ("(a)\\1", 4), ("\\bword", 1), ("a$b", 2), ("a^b", 1), ("[b-a]", 4), ("\\p{L}", 1), ("é(", 3),
      ("a\\", 2),
      ("(?i)a", 2), ("a++", 2), ("[[:alpha:]]", 1), ("\\ud800", 6), ("[]", 2), ("x(^a|b)", 7), ("(^a|b)", 6),
    ])
  func refusals(pattern: String, offset: Int) {
    let error = #expect(throws: GrammarError.self) {
      try Regex.whole(pattern, path: "p", limits: Self.limits)
    }
    guard case .regex("p", let found, _) = error else {
      Issue.record("\(pattern): \(String(describing: error))")
      return
    }
    #expect(found == offset, "\(pattern): \(String(describing: error))")
  }

  @Test(
    "that would need too large an automaton are refused",
    arguments: [
      "((a{1,1000}){1,1000}){1,1000}", "(a|b)*a(a|b){40}", "a{300000}", "(((((.{99}){99}){99}){99}){99}){99}",
      String(repeating: "(", count: 200) + "a" + String(repeating: ")", count: 200),
    ])
  func explosions(pattern: String) {
    #expect(throws: GrammarError.self) { try GrammarAutomaton(.regex(pattern)) }
  }

  @Test("without a match are refused")
  func unsatisfiable() throws {
    let limits = Self.limits
    let a = try Regex.search("^a", path: "p", limits: limits)
    let b = try Regex.search("^b", path: "p", limits: limits)
    #expect(try a.intersection(b, path: "p", limits: limits).isEmpty)
    #expect(try a.subtracting(a, path: "p", limits: limits).isEmpty)
  }

  @Test("keep their lengths in characters")
  func lengths() throws {
    let all = try Regex.search("", path: "p", limits: Self.limits)
    for (minimum, maximum) in [(0, 3), (2, nil), (2, 4), (3, 3)] as [(Int, Int?)] {
      let limited = try all.limited(minimum: minimum, maximum: maximum, path: "p", limits: Self.limits)
      for count in 0...6 {
        let text = String(repeating: "é", count: count)
        #expect(limited.accepts(text.utf8) == (count >= minimum && count <= maximum ?? .max))
      }
    }
  }
}
