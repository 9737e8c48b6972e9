package import JSON

/// What an output has to be, as requests say it.
package enum GrammarSpecification: Sendable {
  /// All of the output matches.
  case regex(String)
  case choice([String])
  /// In the notation of `GrammarParser`, from the rule `root` on.
  case grammar(String)
  case jsonSchema(JSONValue, JSONWhitespace)
  /// Any JSON object.
  case jsonObject(JSONWhitespace)
}

/// Where JSON has a choice of white space.
package enum JSONWhitespace: Sendable, Hashable {
  /// Nothing, a space, or a line break with up to 20 spaces and tabs.
  case flexible
  case none
  /// What the regular expression matches.
  case pattern(String)
}

extension GrammarSpecification {
  /// Equal for equal specifications only. (Schemas that differ in the order of their members are different.)
  package var identity: String {
    switch self {
    case .regex(let text): "regex " + text
    case .choice(let choices): "choice " + JSONValue.array(choices.map { .string($0) }).serialized()
    case .grammar(let text): "grammar " + text
    case .jsonSchema(let schema, let whitespace): "schema \(whitespace) " + schema.serialized()
    case .jsonObject(let whitespace): "object \(whitespace)"
    }
  }
}

extension GrammarAutomaton {
  /// Compiles what a request asks for.
  package init(
    _ specification: GrammarSpecification, limits: GrammarLimits = GrammarLimits()
  ) throws(GrammarError) {
    switch specification {
    case .regex(let text):
      let dfa = try Regex.whole(text, path: "regex", limits: limits)
      if dfa.isEmpty { throw .unsatisfiable(path: "regex", reason: "it matches no text") }
      var builder = AutomatonBuilder(limits)
      let root = try builder.rule("regex")
      try builder.add(dfa, quoted: false, from: builder.start(root), to: builder.end(root))
      try self.init(builder, root: root)
    case .choice(let choices):
      if choices.isEmpty { throw .unsatisfiable(path: "choice", reason: "there is nothing to choose from") }
      guard choices.reduce(0, { $0 + $1.utf8.count }) <= limits.textBytes else {
        throw .tooLarge(path: "choice", reason: "the choices may have \(limits.textBytes) bytes in all")
      }
      var builder = AutomatonBuilder(limits)
      let root = try builder.rule("choice")
      try builder.add(
        choices: choices.map { Array($0.utf8) }, from: builder.start(root), to: builder.end(root))
      try self.init(builder, root: root)
    case .grammar(let text): self = try GrammarParser.parse(text, limits: limits)
    case .jsonSchema(let schema, let whitespace):
      self = try SchemaCompiler.compile(schema, whitespace: whitespace, limits: limits)
    case .jsonObject(let whitespace):
      self = try SchemaCompiler.compile(["type": "object"], whitespace: whitespace, limits: limits)
    }
  }
}
