import Compression
import JSON
import TestSupport
import Testing

@Suite("Recipes")
struct RecipeTests {
  @Test func `every setting survives JSON`() throws {
    for method in MethodRegistry.methods {
      var recipe = method.defaults
      recipe.budgetBytes = 12345
      recipe.candidateBits = [3, 8]
      recipe.options.actOrder = .groupAware
      recipe.options.smoothing = nil
      recipe.options.rank = 5
      recipe.scheme.sparsity = .pattern(keep: 2, of: 4)
      var override = Recipe.Override(pattern: "layers.1.*")
      override.bits = 8
      override.groupSize = 0
      override.sparsity = .unstructured(0.25)
      recipe.overrides = [override]
      let text = recipe.json.serialized(.pretty)
      #expect(try Recipe(JSONValue.parse(Array(text.utf8))) == recipe)
    }
  }

  @Test(arguments: [
    (#"{"method":"gtpq"}"#, "method"), (#"{}"#, "method"), (#"[]"#, "recipe"),
    (#"{"method":"rtn","bits":9}"#, "bits"), (#"{"method":"rtn","bits":5}"#, "bits"),
    (#"{"method":"rtn","candidate_bits":[4,6]}"#, "candidate_bits"),
    (#"{"method":"rtn","bits":"4"}"#, "bits"),
    (#"{"method":"rtn","group_size":0}"#, "group_size"), (#"{"method":"rtn","sparsity":"3:2"}"#, "sparsity"),
    (#"{"method":"rtn","groupsize":32}"#, "groupsize"),
    (#"{"method":"rtn","overrides":[{"bits":4}]}"#, "overrides"),
    (#"{"method":"rtn","overrides":[{"pattern":"a","bit":4}]}"#, "overrides.bit"),
    (#"{"method":"rtn","damping":-1}"#, "damping"), (#"{"method":"rtn","act_order":true}"#, "act_order"),
  ])
  func `a wrong field is named`(_ text: String, _ field: String) throws {
    do {
      _ = try Recipe(JSONValue.parse(Array(text.utf8)))
      Issue.record("accepted \(text)")
    } catch let error as Recipe.FieldProblem {
      #expect(error.field == field)
    }
  }

  @Test func `the last override that matches holds`() {
    var recipe = Recipe(method: "rtn")
    var first = Recipe.Override(pattern: "model.layers.0.*")
    first.skip = true
    var second = Recipe.Override(pattern: "*.q_proj")
    second.bits = 8
    second.groupSize = 0
    recipe.overrides = [second, first]
    #expect(recipe.scheme(of: "model.layers.0.self_attn.q_proj") == nil)
    #expect(recipe.scheme(of: "model.layers.1.self_attn.q_proj")?.bits == 8)
    #expect(recipe.scheme(of: "model.layers.1.self_attn.q_proj")?.groupSize == nil)
    #expect(recipe.scheme(of: "model.layers.1.self_attn.k_proj")?.bits == 4)
    #expect(recipe.scheme(of: "model.layers.10.mlp.up_proj") != nil)
    var suffix = Recipe.Override(pattern: "up_proj")
    suffix.skip = true
    recipe.overrides = [suffix]
    #expect(recipe.scheme(of: "a.up_proj") == nil && recipe.scheme(of: "a.gup_proj") != nil)
  }

  @Test func `sparsity is a part, or zeros in a run`() {
    #expect(Sparsity("0.5") == .unstructured(0.5))
    #expect(Sparsity("2:4") == .pattern(keep: 2, of: 4))
    #expect(Sparsity("3:4") == .pattern(keep: 1, of: 4))
    #expect(Sparsity("3:4")?.text == "3:4" && Sparsity("3:4")?.fraction == 0.75)
    for text in ["1", "-0.1", "4:4", "0:4", "1:32", "a", "2:4:8", "", ":"] { #expect(Sparsity(text) == nil) }
  }

  @Test func `bits under a budget are as good as the best of all choices, to one upgrade`() throws {
    var generator = SeededGenerator(seed: 4)
    for _ in 0..<30 {
      let layers = (0..<5).map { _ in
        var loss = Double.random(in: 1..<100, using: &generator)
        return [2, 3, 4].map { bits in
          defer { loss *= Double.random(in: 0.2..<0.5, using: &generator) }
          return BitAllocation.Candidate(bits: bits, bytes: bits * 10, loss: loss)
        }
      }
      let budget = 150 - Int.random(in: 0..<40, using: &generator)
      let chosen = try BitAllocation.choose(layers, budget: budget)
      func total(_ places: [Int]) -> (bytes: Int, loss: Double) {
        zip(layers, places).reduce((0, 0)) { ($0.0 + $1.0[$1.1].bytes, $0.1 + $1.0[$1.1].loss) }
      }
      #expect(total(chosen).bytes <= budget)
      var best = Double.infinity
      for code in 0..<243 {
        let places = [code % 3, code / 3 % 3, code / 9 % 3, code / 27 % 3, code / 81]
        let found = total(places)
        if found.bytes <= budget { best = min(best, found.loss) }
      }
      // Equal steps and convex losses: greedy is optimal.
      #expect(abs(total(chosen).loss - best) <= 1e-9 * best)
    }
    #expect(throws: BitAllocation.Problem.tooSmall(budget: 5, needed: 20)) {
      _ = try BitAllocation.choose([[.init(bits: 2, bytes: 20, loss: 1)]], budget: 5)
    }
  }
}
