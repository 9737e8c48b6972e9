internal import JSON

/// Compiles a JSON Schema into the automaton of the JSON texts that satisfy it.
///
/// Each schema that a value can have becomes one rule, found again by where it stands, which is how schemas may refer
/// to themselves. What is generated satisfies the schema; not everything that does is generated:
///
/// - Keys come in the order in which the schema lists them; other keys come last.
/// - Objects that list properties have no others, unless `additionalProperties` allows them. The same holds for
///   arrays with `prefixItems` and `items`.
/// - Numbers have at most as many digits as a double tells apart.
struct SchemaCompiler {
  var reader: SchemaReader
  var builder: AutomatonBuilder
  /// By the paths of the schemas it stands for.
  private var rules: [String: Int] = [:]
  /// Rules without a body yet.
  private var waiting: [(rule: Int, schemas: [LocatedSchema])] = []
  private var anything: Int?
  let whitespace: Int
  /// The first schema without a value, for the message when that leaves nothing.
  private var emptyPath: String?

  static func compile(
    _ schema: JSONValue, whitespace: JSONWhitespace, limits: GrammarLimits
  ) throws(GrammarError) -> GrammarAutomaton {
    var compiler = try SchemaCompiler(schema, whitespace, limits)
    return try compiler.run()
  }

  private init(
    _ schema: JSONValue, _ whitespace: JSONWhitespace, _ limits: GrammarLimits
  ) throws(GrammarError) {
    reader = SchemaReader(schema, limits)
    builder = AutomatonBuilder(limits)
    self.whitespace = try builder.rule("white space")
    let (start, end) = (builder.start(self.whitespace), builder.end(self.whitespace))
    switch whitespace {
    case .flexible: try builder.add(JSONPieces.defaultWhitespace, from: start, to: end)
    case .none: builder.empty(from: start, to: end)
    case .pattern(let regex):
      let path = "whitespace_pattern"
      let dfa = try Regex.whole(regex, path: path, limits: limits)
      let spaces = try ByteDFA(
        .repeated(.set(CodePointSet([0x20...0x20, 0x09...0x0A, 0x0D...0x0D])), minimum: 0, maximum: nil),
        path: path, limits: limits)
      guard try dfa.subtracting(spaces, path: path, limits: limits).isEmpty else {
        throw .regex(path: path, offset: 0, reason: "it matches more than spaces, tabs and line ends")
      }
      if dfa.isEmpty { throw .unsatisfiable(path: path, reason: "it matches no text") }
      try builder.add(dfa, quoted: false, from: start, to: end)
    }
  }

  private mutating func run() throws(GrammarError) -> GrammarAutomaton {
    let root = try rule(for: [LocatedSchema(schema: reader.root, path: "#")])
    while let (rule, schemas) = waiting.popLast() {
      let alternatives = try reader.alternatives(schemas)
      if alternatives.isEmpty { noteEmpty(schemas.first?.path ?? "#") }
      for alternative in alternatives {
        try emit(alternative, from: builder.start(rule), to: builder.end(rule))
      }
    }
    do {
      return try GrammarAutomaton(builder, root: root)
    } catch {
      if case .unsatisfiable = error, let emptyPath {
        throw .unsatisfiable(path: emptyPath, reason: "its keywords leave no value")
      }
      throw error
    }
  }

  /// No value is left here. That is no error where none is needed.
  mutating func noteEmpty(_ path: String) { if emptyPath == nil { emptyPath = path } }

  /// The rule of a value that satisfies all of these.
  mutating func rule(for schemas: [LocatedSchema]) throws(GrammarError) -> Int {
    var schemas = schemas.filter { $0.schema.bool != true }
    if schemas.isEmpty { return try anythingRule() }
    if schemas.count == 1 { schemas[0] = try target(of: schemas[0]) }
    let key = schemas.map(\.path).joined(separator: "\n")
    if let known = rules[key] { return known }
    let rule = try builder.rule(schemas[0].path)
    rules[key] = rule
    waiting.append((rule, schemas))
    return rule
  }

  /// What a schema that is nothing but a reference refers to.
  private func target(of schema: LocatedSchema) throws(GrammarError) -> LocatedSchema {
    var target = schema
    for _ in 0..<reader.limits.depth {
      guard let reference = target["$ref"], target.schema.object?.count == 1 else { return target }
      target = try reader.resolve(reference)
    }
    throw .unsupported(path: schema.path, reason: "it refers to itself with no value between")
  }

  /// A value inside another one. Short ones go into the automaton where they stand.
  mutating func value(_ schemas: [LocatedSchema], from: Int, to: Int) throws(GrammarError) {
    if schemas.count == 1, Self.isScalar(schemas[0].schema) {
      let alternatives = try reader.alternatives(schemas)
      if alternatives.isEmpty { noteEmpty(schemas[0].path) }
      for alternative in alternatives { try emit(alternative, from: from, to: to) }
    } else {
      builder.call(try rule(for: schemas), from: from, to: to)
    }
  }

  private static func isScalar(_ schema: JSONValue) -> Bool {
    guard let members = schema.object, let type = members["type"]?.string else { return false }
    if type == "object" || type == "array" || (members["maxLength"]?.int ?? 0) > 64 { return false }
    return ["$ref", "allOf", "anyOf", "oneOf"].allSatisfy { members[$0] == nil }
  }

  func space(from: Int, to: Int, _ builder: inout AutomatonBuilder) {
    builder.call(whitespace, from: from, to: to)
  }

  private mutating func emit(_ constraints: SchemaConstraints, from: Int, to: Int) throws(GrammarError) {
    if let values = constraints.values {
      var texts: [[UInt8]] = []
      for value in values where try reader.admits(value, constraints, depth: 0) {
        var bytes: [UInt8] = []
        value.write(into: &bytes)
        texts.append(bytes)
      }
      if texts.isEmpty { noteEmpty(constraints.path) }
      return try builder.add(choices: texts, from: from, to: to)
    }
    let kinds = constraints.kinds
    if kinds.contains(.null) { try builder.literal("null", from: from, to: to) }
    if kinds.contains(.boolean) {
      try builder.literal("true", from: from, to: to)
      try builder.literal("false", from: from, to: to)
    }
    if !kinds.isDisjoint(with: .number) { try emitNumber(constraints, from: from, to: to) }
    if kinds.contains(.string) { try emitString(constraints, from: from, to: to) }
    if kinds.contains(.array) { try emitArray(constraints, from: from, to: to) }
    if kinds.contains(.object) { try emitObject(constraints, from: from, to: to) }
  }

  private mutating func anythingRule() throws(GrammarError) -> Int {
    if let anything { return anything }
    let rule = try builder.rule("any value")
    anything = rule
    var constraints = SchemaConstraints(path: "#")
    constraints.additional = []
    constraints.items = []
    try emit(constraints, from: builder.start(rule), to: builder.end(rule))
    return rule
  }
}

// MARK: Scalars

extension SchemaCompiler {
  private mutating func emitNumber(_ constraints: SchemaConstraints, from: Int, to: Int) throws(GrammarError)
  {
    let isWhole = !constraints.kinds.contains(.fraction) || !constraints.multiples.isEmpty
    let isBounded = constraints.low != nil || constraints.high != nil
    let language: NumberLanguage =
      isWhole ? .integer : isBounded ? .boundedNumber : .number
    if !isBounded, constraints.multiples.isEmpty {
      return try builder.add(language.all, from: from, to: to)
    }
    let (path, limits) = (constraints.path, reader.limits)
    var result: ByteDFA?
    func take(_ next: ByteDFA) throws(GrammarError) {
      result = try result?.intersection(next, path: path, limits: limits) ?? next
    }
    for (bound, isLow) in [(constraints.low, true), (constraints.high, false)] {
      guard let bound else { continue }
      guard bound.value.whole.count + bound.value.fraction.count <= 400 else {
        throw .tooLarge(path: path, reason: "a bound has more than 400 digits")
      }
      var fitting = language
      fitting.wholeDigits = max(fitting.wholeDigits, bound.value.whole.count)
      try take(ByteDFA(isLow ? fitting.atLeast(bound) : fitting.atMost(bound), path: path, limits: limits))
    }
    for multiple in constraints.multiples {
      if result == nil { try take(ByteDFA(language.all, path: path, limits: limits)) }
      try take(ByteDFA(multiplesOf: multiple))
    }
    guard let result, !result.isEmpty else { return noteEmpty(path) }
    try builder.add(result, quoted: false, from: from, to: to)
  }

  private mutating func emitString(_ constraints: SchemaConstraints, from: Int, to: Int) throws(GrammarError)
  {
    if let maximum = constraints.maxLength, maximum < constraints.minLength {
      return noteEmpty(constraints.path)
    }
    let (opened, closing) = (try builder.state(), try builder.state())
    if constraints.patterns.isEmpty {
      do {
        try builder.stringCharacters(
          minimum: constraints.minLength, maximum: constraints.maxLength, from: opened, to: closing)
      } catch {
        throw .tooLarge(
          path: constraints.path + (constraints.maxLength == nil ? "/minLength" : "/maxLength"),
          reason: "the automaton of the whole schema needs more than \(reader.limits.states) states")
      }
    } else {
      let dfa = try reader.strings(constraints)
      if dfa.isEmpty { return noteEmpty(constraints.patterns[0].path) }
      try builder.add(dfa, quoted: true, from: opened, to: closing)
    }
    try builder.literal("\"", from: from, to: opened)
    try builder.literal("\"", from: closing, to: to)
  }
}
