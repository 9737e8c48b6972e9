extension TemplateParser {
  /// `| filter`, `is test` and calls, as many as follow.
  mutating func filtersAndTests(of start: TemplateExpression) throws(TemplateProblem) -> TemplateExpression {
    var value = start
    while true {
      switch current {
      case .symbol(.pipe): value = try filters(of: value)
      case .name("is"): value = try test(of: value)
      case .symbol(.leftParenthesis): value = try TemplateExpression(.call(value, try arguments()))
      default: return value
      }
    }
  }

  /// `| a | b(1)`; with `startInline`, the first filter's name comes without `|`.
  mutating func filters(
    of input: TemplateExpression?, startInline: Bool = false
  ) throws(TemplateProblem) -> TemplateExpression {
    var value = input
    var isInline = startInline
    while isInline || current == .symbol(.pipe) {
      if !isInline { skip() }
      isInline = false
      let name = try dottedName()
      let arguments = current == .symbol(.leftParenthesis) ? try arguments() : TemplateArgumentsSyntax()
      value = try TemplateExpression(.filter(value, name: name, arguments))
    }
    guard let value else { throw .syntax("expected a filter, found \(current)") }
    return value
  }

  private mutating func test(of input: TemplateExpression) throws(TemplateProblem) -> TemplateExpression {
    skip()
    let isNegated = skip(ifName: "not")
    let name = try dottedName()
    var testArguments = TemplateArgumentsSyntax()
    if current == .symbol(.leftParenthesis) {
      testArguments = try arguments()
    } else if startsTestArgument {
      if current == .name("is") { throw .syntax("tests can't be chained with 'is'") }
      let argument = try nested { parser throws(TemplateProblem) in try parser.testArgument() }
      testArguments.positional = [argument]
    }
    let test = try TemplateExpression(.test(input, name: name, testArguments))
    return isNegated ? try TemplateExpression(.not(test)) : test
  }

  /// `x is divisibleby 3`: an argument may come without parentheses.
  private var startsTestArgument: Bool {
    switch current {
    case .name(let name): !["else", "or", "and"].contains(name)
    case .string, .integer, .float, .symbol(.leftParenthesis), .symbol(.leftBracket), .symbol(.leftBrace):
      true
    default: false
    }
  }

  private mutating func dottedName() throws(TemplateProblem) -> String {
    var name = try expectName()
    while skip(if: .dot) { name += "." + (try expectName()) }
    return name
  }

  mutating func arguments() throws(TemplateProblem) -> TemplateArgumentsSyntax {
    var arguments = TemplateArgumentsSyntax()
    var needsComma = false
    func check(_ isRight: Bool) throws(TemplateProblem) {
      if !isRight { throw .syntax("arguments are in the wrong order") }
    }
    try expect(.leftParenthesis)
    while current != .symbol(.rightParenthesis) {
      if needsComma {
        try expect(.comma)
        if current == .symbol(.rightParenthesis) { break }
      }
      needsComma = true
      if skip(if: .multiply) {
        try check(arguments.spread == nil && arguments.keywordSpread == nil)
        arguments.spread = try expression()
      } else if skip(if: .power) {
        try check(arguments.keywordSpread == nil)
        arguments.keywordSpread = try expression()
      } else if case .name(let name) = current, following == .symbol(.assign) {
        try check(arguments.keywordSpread == nil)
        if arguments.keywords.contains(where: { $0.name == name }) {
          throw .syntax("argument '\(name)' is given twice")
        }
        skip()
        skip()
        arguments.keywords.append((name, try expression()))
      } else {
        try check(arguments.spread == nil && arguments.keywordSpread == nil && arguments.keywords.isEmpty)
        arguments.positional.append(try expression())
      }
    }
    try expect(.rightParenthesis)
    return arguments
  }
}

extension TemplateParser {
  /// `a`, `a, b`, `(a, (b, c))`, and with attributes `namespace.a`. Only in parentheses a comma may end it.
  mutating func assignmentTarget(allowsAttributes: Bool = false) throws(TemplateProblem) -> TemplateTarget {
    var targets: [TemplateTarget] = []
    var isTuple = false
    while !isTupleEnd {
      targets.append(try singleTarget(allowsAttributes: allowsAttributes))
      guard skip(if: .comma) else { break }
      isTuple = true
    }
    if isTuple { return .tuple(targets) }
    guard let target = targets.first else { throw .syntax("expected a name to assign to, found \(current)") }
    return target
  }

  private mutating func singleTarget(allowsAttributes: Bool) throws(TemplateProblem) -> TemplateTarget {
    if skip(if: .leftParenthesis) {
      let target = try nested { parser throws(TemplateProblem) in
        try parser.assignmentTarget(allowsAttributes: allowsAttributes)
      }
      try expect(.rightParenthesis)
      return target
    }
    let name = try assignableName()
    guard allowsAttributes, skip(if: .dot) else { return .name(symbol(name)) }
    return .attribute(readSymbol(name), try expectName())
  }

  mutating func assignableName() throws(TemplateProblem) -> String {
    let name = try expectName()
    if ["true", "false", "none", "True", "False", "None"].contains(name) {
      throw .syntax("can't assign to '\(name)'")
    }
    return name
  }
}
