import Checkpoints
import Testing

@Suite struct ModulePatternTests {
  /// Expected values are those of Python's `re.match`.
  @Test(arguments: [
    (".*q_proj", "model.layers.0.self_attn.q_proj", true), ("q_proj", "model.q_proj", false),
    ("model\\.layers\\.[0-3]\\.", "model.layers.2.mlp", true),
    ("model\\.layers\\.[0-3]\\.", "model.layers.4.mlp", false),
    ("^model.layers.(0|12).mlp$", "model.layers.12.mlp", true),
    ("^model.layers.(0|12).mlp$", "model.layers.12.mlp.gate", false),
    (".*\\.(gate|up)_proj$", "a.up_proj", true), (".*\\d{2}\\.", "layers.7.x", false),
    (".*\\d{2}\\.", "layers.17.x", true), ("a+b?c*", "aaab", true), ("a+b", "b", false), ("", "x", true),
    ("[^.]+\\.x", "ab.x", true), ("[^.]+\\.x", "a.b.x", false), ("(?:ab)+c", "ababc", true),
    ("a|b", "c", false),
    (".*?mlp.*", "model.mlp.up", true), ("a{2,3}$", "aaaa", false), ("a{2,}$", "aaaa", true),
    ("x*$", "", true),
  ]) func `matches as Python does`(_ pattern: String, _ name: String, _ expected: Bool) throws {
    #expect(try ModulePattern(pattern).matches(name) == expected)
  }

  /// Would take longer than the universe by backtracking.
  @Test func `nested repetition takes linear time`() throws {
    let name = String(repeating: "a", count: 5000)
    #expect(try !ModulePattern("(a*)*(a*)*b").matches(name))
  }

  @Test(arguments: ["(", "a)", "[a", "*a", "a{2", "(?=a)", "\\b", "a{1,1000}", "\\"])
  func `what is not understood is refused`(_ pattern: String) {
    #expect(throws: ModulePattern.Problem.self) { try ModulePattern(pattern) }
  }

  @Test func `sizes are bounded`() {
    #expect(throws: ModulePattern.Problem.tooLarge) { try ModulePattern("((a{100}){100}){100}") }
    #expect(throws: ModulePattern.Problem.tooLarge) {
      try ModulePattern(String(repeating: "(", count: 100) + String(repeating: ")", count: 100))
    }
  }
}
