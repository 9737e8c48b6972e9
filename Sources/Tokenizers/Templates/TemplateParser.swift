/// Builds the tree of a template: Jinja 3.1's grammar with the `loopcontrols` extension and Hugging Face's
/// `generation` tag, without what needs other files (`include`, `import`, `extends`).
struct TemplateParser {
  private let tokens: [TemplateToken]
  private var position = 0
  private var nesting = 0
  private var symbols: [String: TemplateSymbol] = [:]
  private var blockNames: Set<String> = []
  /// Which names that Jinja gives macros on demand are read, in each macro that is being parsed.
  private var macroUses: [Set<String>] = []
  /// Loops around the current statement, within the macro or block that is being parsed.
  private var loopDepth = 0

  private init(tokens: [TemplateToken]) { self.tokens = tokens }

  static func parse(_ source: String) throws(TemplateError) -> ParsedTemplate {
    guard source.utf8.count <= TemplateLimits.maxSourceBytes else {
      throw TemplateError(.limit(.source), line: 0)
    }
    var parser = TemplateParser(tokens: try TemplateLexer.tokens(of: source))
    do {
      let body = try parser.statements(endingWith: [])
      return ParsedTemplate(body: body, symbols: parser.symbols)
    } catch {
      throw TemplateError(error, line: parser.line)
    }
  }
}

struct ParsedTemplate: Sendable {
  let body: [TemplateLine]
  /// Every name that the template reads or assigns.
  let symbols: [String: TemplateSymbol]
}

extension TemplateParser {
  var current: TemplateToken.Kind { tokens[position].kind }
  var line: Int { tokens[position].line }
  /// The token behind the current one.
  var following: TemplateToken.Kind { tokens[min(position + 1, tokens.count - 1)].kind }

  mutating func skip() { if position < tokens.count - 1 { position += 1 } }

  mutating func skip(if kind: TemplateToken.Kind) -> Bool {
    guard current == kind else { return false }
    skip()
    return true
  }

  mutating func skip(ifName name: String) -> Bool { skip(if: .name(name)) }
  mutating func skip(if symbol: TemplateToken.Symbol) -> Bool { skip(if: .symbol(symbol)) }

  mutating func expect(_ kind: TemplateToken.Kind) throws(TemplateProblem) {
    if !skip(if: kind) { throw .syntax("expected \(kind), found \(current)") }
  }

  mutating func expect(_ symbol: TemplateToken.Symbol) throws(TemplateProblem) { try expect(.symbol(symbol)) }

  mutating func expectName() throws(TemplateProblem) -> String {
    guard case .name(let name) = current else { throw .syntax("expected a name, found \(current)") }
    skip()
    return name
  }

  /// The number of a name; those that Jinja binds inside macros are noted.
  mutating func symbol(_ name: String) -> TemplateSymbol {
    if let known = symbols[name] { return known }
    let symbol = TemplateSymbol(id: symbols.count, name: name)
    symbols[name] = symbol
    return symbol
  }

  mutating func readSymbol(_ name: String) -> TemplateSymbol {
    for index in macroUses.indices { macroUses[index].insert(name) }
    return symbol(name)
  }

  /// Runs `body` one level deeper; every rule that can contain itself passes through here.
  mutating func nested<Result>(
    _ body: (inout TemplateParser) throws(TemplateProblem) -> Result
  ) throws(TemplateProblem) -> Result {
    if nesting == TemplateLimits.maxSyntaxDepth { throw .limit(.syntaxDepth) }
    nesting += 1
    defer { nesting -= 1 }
    return try body(&self)
  }
}

extension TemplateParser {
  /// Statements up to, not including, the name in `{% name`; up to the end of the template without names.
  fileprivate mutating func statements(endingWith names: [String]) throws(TemplateProblem) -> [TemplateLine] {
    var lines: [TemplateLine] = []
    while true {
      let line = line
      switch current {
      case .end:
        if names.isEmpty { return lines }
        let expected = names.map { "'\($0)'" }.joined(separator: " or ")
        throw .syntax("the template ends before {% \(expected) %}")
      case .data(let text):
        skip()
        lines.append(TemplateLine(statement: .text(text), line: line))
      case .variableBegin:
        skip()
        let value = try tupleOrExpression()
        try expect(.variableEnd)
        lines.append(TemplateLine(statement: .output(value), line: line))
      default:
        try expect(.blockBegin)
        if case .name(let name) = current, names.contains(name) { return lines }
        for statement in try nested({ parser throws(TemplateProblem) in try parser.statement() }) {
          lines.append(TemplateLine(statement: statement, line: line))
        }
        try expect(.blockEnd)
      }
    }
  }

  /// The lines between `%}` and `{% endname`; the name is consumed.
  private mutating func body(endingWith name: String) throws(TemplateProblem) -> [TemplateLine] {
    let lines = try bodyStart(endingWith: [name])
    skip()
    return lines
  }

  /// The lines between `%}` and one of the names; the name is not consumed.
  private mutating func bodyStart(endingWith names: [String]) throws(TemplateProblem) -> [TemplateLine] {
    _ = skip(if: .colon)
    try expect(.blockEnd)
    return try statements(endingWith: names)
  }

  private mutating func statement() throws(TemplateProblem) -> [TemplateStatement] {
    let tag = try expectName()
    switch tag {
    case "if": return [try conditional()]
    case "for": return [.loop(try loop())]
    case "set": return [try assignment()]
    case "macro": return [.macro(try macro())]
    case "call": return [try callBlock()]
    case "filter":
      let filter = try filters(of: nil, startInline: true)
      return [.filterBlock(filter, body: try body(endingWith: "endfilter"))]
    case "with": return [try with()]
    case "block": return [.block(try block())]
    case "generation": return [.generation(body: try outsideLoops(endingWith: "endgeneration"))]
    case "print": return try printed()
    case "break", "continue":
      if loopDepth == 0 { throw .syntax("'\(tag)' outside of a loop") }
      return [tag == "break" ? .leaveLoop : .continueLoop]
    default: throw .unknownTag(tag)
    }
  }

  private mutating func conditional() throws(TemplateProblem) -> TemplateStatement {
    var branches: [(test: TemplateExpression, body: [TemplateLine])] = []
    while true {
      let test = try tupleOrExpression(allowsConditional: false)
      branches.append((test, try bodyStart(endingWith: ["elif", "else", "endif"])))
      if skip(ifName: "elif") { continue }
      let otherwise = skip(ifName: "else") ? try body(endingWith: "endif") : try endIf()
      return .conditional(branches, otherwise: otherwise)
    }
  }

  private mutating func endIf() throws(TemplateProblem) -> [TemplateLine] {
    skip()
    return []
  }

  private mutating func loop() throws(TemplateProblem) -> TemplateLoopSyntax {
    let target = try assignmentTarget()
    if case .name(let symbol) = target, symbol.name == "loop" {
      throw .syntax("'loop' is the loop's own variable and can't be assigned")
    }
    try expect(.name("in"))
    let sequence = try tupleOrExpression(allowsConditional: false)
    let filter = skip(ifName: "if") ? try expression() : nil
    let isRecursive = skip(ifName: "recursive")
    loopDepth += 1
    let lines = try bodyStart(endingWith: ["endfor", "else"])
    loopDepth -= 1
    let otherwise = skip(ifName: "else") ? try body(endingWith: "endfor") : try endIf()
    return TemplateLoopSyntax(
      target: target, sequence: sequence, filter: filter, isRecursive: isRecursive, body: lines,
      otherwise: otherwise)
  }

  private mutating func assignment() throws(TemplateProblem) -> TemplateStatement {
    let target = try assignmentTarget(allowsAttributes: true)
    if skip(if: .assign) { return .assign(target, try tupleOrExpression()) }
    var filter: TemplateExpression?
    if current == .symbol(.pipe) { filter = try filters(of: nil) }
    return .assignBlock(target, filters: filter, body: try body(endingWith: "endset"))
  }

  private mutating func with() throws(TemplateProblem) -> TemplateStatement {
    var assignments: [(TemplateTarget, TemplateExpression)] = []
    while current != .blockEnd {
      if !assignments.isEmpty { try expect(.comma) }
      let target = try assignmentTarget()
      try expect(.assign)
      assignments.append((target, try expression()))
    }
    return .with(assignments, body: try body(endingWith: "endwith"))
  }

  private mutating func printed() throws(TemplateProblem) -> [TemplateStatement] {
    var values: [TemplateStatement] = []
    while current != .blockEnd {
      if !values.isEmpty { try expect(.comma) }
      values.append(.output(try expression()))
    }
    return values
  }
}

extension TemplateParser {
  private mutating func macro() throws(TemplateProblem) -> TemplateMacroSyntax {
    let symbol = symbol(try assignableName())
    return try macro(symbol, endingWith: "endmacro") { parser throws(TemplateProblem) in
      try parser.parameters()
    }
  }

  private mutating func callBlock() throws(TemplateProblem) -> TemplateStatement {
    var call: TemplateExpression?
    let caller = try macro(symbol("caller"), endingWith: "endcall") { parser throws(TemplateProblem) in
      let parameters = parser.current == .symbol(.leftParenthesis) ? try parser.parameters() : []
      let expression = try parser.expression()
      guard case .call = expression.kind else { throw .syntax("expected a call in the call block") }
      call = expression
      return parameters
    }
    guard let call else { throw .syntax("expected a call in the call block") }
    return .call(caller, call)
  }

  private mutating func macro(
    _ symbol: TemplateSymbol, endingWith end: String,
    signature: (inout TemplateParser) throws(TemplateProblem) -> [TemplateMacroSyntax.Parameter]
  ) throws(TemplateProblem) -> TemplateMacroSyntax {
    macroUses.append([])
    let parameters = try signature(&self)
    let lines = try outsideLoops(endingWith: end)
    let uses = macroUses.removeLast()
    return TemplateMacroSyntax(
      symbol: symbol, parameters: parameters, body: lines, usesCaller: uses.contains("caller"),
      usesKeywords: uses.contains("kwargs"), usesVariadics: uses.contains("varargs"))
  }

  private mutating func parameters() throws(TemplateProblem) -> [TemplateMacroSyntax.Parameter] {
    var parameters: [TemplateMacroSyntax.Parameter] = []
    try expect(.leftParenthesis)
    while current != .symbol(.rightParenthesis) {
      if !parameters.isEmpty { try expect(.comma) }
      let name = try assignableName()
      let defaultValue = skip(if: .assign) ? try expression() : nil
      if defaultValue == nil, parameters.last?.defaultValue != nil {
        throw .syntax("parameter '\(name)' without a default follows one with a default")
      }
      if parameters.contains(where: { $0.symbol.name == name }) {
        throw .syntax("parameter '\(name)' appears twice")
      }
      parameters.append(.init(symbol: symbol(name), defaultValue: defaultValue))
    }
    try expect(.rightParenthesis)
    return parameters
  }

  private mutating func block() throws(TemplateProblem) -> TemplateBlockSyntax {
    let name = try expectName()
    guard blockNames.insert(name).inserted else { throw .syntax("block '\(name)' is defined twice") }
    let isScoped = skip(ifName: "scoped")
    if skip(ifName: "required") { throw .syntax("required blocks need template inheritance") }
    let lines = try outsideLoops(endingWith: "endblock")
    _ = skip(ifName: name)
    return TemplateBlockSyntax(name: name, isScoped: isScoped, body: lines)
  }

  /// A body from which no loop around it can be left.
  private mutating func outsideLoops(endingWith name: String) throws(TemplateProblem) -> [TemplateLine] {
    let outerLoopDepth = loopDepth
    loopDepth = 0
    defer { loopDepth = outerLoopDepth }
    return try body(endingWith: name)
  }
}
