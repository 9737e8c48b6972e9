internal import Grammars
internal import Generation
internal import JSON
internal import Tokenizers

/// Compiling JSON schemas, and the mask in front of every token of a text that satisfies them, for one vocabulary.
enum GrammarBench: Benchmark {
  static let name = "grammar"

  static func run(_ arguments: ParsedArguments) throws -> BenchReport {
    let path = try ModelPath.resolve(arguments.positional(1))
    let repetitions = try arguments.integer("--repetitions", in: 1...1000) ?? 3
    let tokenizer = try LoadedTokenizer.load(path)
    var report = BenchReport(name: name)
    let start = ContinuousClock.now
    let vocabulary = GrammarVocabulary(tokenizer, count: tokenizer.vocabularySize)
    report.add("vocabulary", milliseconds(since: start), "ms, once a model")
    report.setting = [
      ("tokenizer", path), ("vocabulary", "\(vocabulary.count) tokens"),
      ("schemas", GrammarBenchCases.all.map(\.name).joined(separator: ", ")),
    ]
    var compiling: [Double] = []
    var cold: [Double] = []
    var warm: [Double] = []
    for testCase in GrammarBenchCases.all {
      let schema = try JSONValue.parse(testCase.schema)
      let tokens = try tokenizer.encode(testCase.text, addSpecialTokens: false)
      var best = (compile: Double.infinity, cold: [Double](), warm: [Double]())
      for _ in 0..<repetitions {
        let start = ContinuousClock.now
        let automaton = try GrammarAutomaton(.jsonSchema(schema, .flexible))
        let grammar = TokenGrammar(automaton, vocabulary: vocabulary)
        best.compile = min(best.compile, milliseconds(since: start))
        let first = try masks(grammar, tokens, testCase.name)
        let second = try masks(grammar, tokens, testCase.name)
        // Token by token: a text takes long enough for others on the machine to come between.
        best.cold = best.cold.isEmpty ? first : zip(best.cold, first).map(min)
        best.warm = best.warm.isEmpty ? second : zip(best.warm, second).map(min)
      }
      report.add("\(testCase.name): compile", best.compile, "ms")
      report.add("\(testCase.name): mask, first text", mean(best.cold), "us a token")
      compiling.append(best.compile)
      cold += best.cold
      warm += best.warm
    }
    report.add("compile, mean", mean(compiling), "ms")
    report.add("compile, slowest", compiling.max() ?? 0, "ms")
    report.add("mask, first text, mean", mean(cold), "us a token")
    report.add("mask, first text, 99 %", cold.sorted()[cold.count * 99 / 100], "us")
    report.add("mask, first text, slowest", cold.max() ?? 0, "us")
    report.add("mask, same text again, mean", mean(warm), "us a token")
    report.add("tokens", Double(cold.count), "")
    return report
  }

  /// Microseconds for each token: its mask, and taking it.
  private static func masks(_ grammar: TokenGrammar, _ tokens: [Int32], _ name: String) throws -> [Double] {
    var matcher = grammar.matcher()
    var words = [UInt32](repeating: 0, count: matcher.wordCount)
    var times: [Double] = []
    times.reserveCapacity(tokens.count)
    for token in tokens {
      let start = ContinuousClock.now
      try matcher.mask(into: &words)
      let isAllowed = words[Int(token) / 32] >> UInt32(token % 32) & 1 == 1
      let isTaken = try matcher.advance(token)
      times.append(1000 * milliseconds(since: start))
      guard isAllowed, isTaken else { throw Failure.refused(schema: name, token: token, place: times.count) }
    }
    return times
  }

  private enum Failure: Error, CustomStringConvertible {
    case refused(schema: String, token: Int32, place: Int)

    var description: String {
      switch self {
      case .refused(let schema, let token, let place):
        "the grammar of \(schema) refuses token \(token), number \(place) of a text that satisfies the schema"
      }
    }
  }

  private static func milliseconds(since start: ContinuousClock.Instant) -> Double {
    1000 * (start.duration(to: .now) / .seconds(1))
  }

  private static func mean(_ values: [Double]) -> Double {
    values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
  }
}
