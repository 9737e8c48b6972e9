/// Regular expressions as automata over bytes.
enum Regex {
  /// The texts that the whole expression matches.
  static func whole(_ text: String, path: String, limits: GrammarLimits) throws(GrammarError) -> ByteDFA {
    let branches = try RegexParser.parse(text, path: path, limits: limits)
    return try ByteDFA(.choice(branches.map(\.body)), path: path, limits: limits)
  }

  /// The texts in which the expression matches somewhere, as `pattern` of JSON Schema asks.
  static func search(_ text: String, path: String, limits: GrammarLimits) throws(GrammarError) -> ByteDFA {
    let branches = try RegexParser.parse(text, path: path, limits: limits)
    let anything = Expression.repeated(.set(.all), minimum: 0, maximum: nil)
    return try ByteDFA(
      .choice(
        branches.map { branch in
          .sequence(
            (branch.isAtStart ? [] : [anything]) + [branch.body] + (branch.isAtEnd ? [] : [anything]))
        }), path: path, limits: limits)
  }
}
