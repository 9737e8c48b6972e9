internal import JSON

extension TemplateParser {
  /// One expression, or a tuple of several: `a`, `a, b`, `a,`.
  mutating func tupleOrExpression(
    allowsConditional: Bool = true
  ) throws(TemplateProblem) -> TemplateExpression {
    var elements: [TemplateExpression] = []
    var isTuple = false
    while !isTupleEnd {
      elements.append(try allowsConditional ? expression() : unconditional())
      guard skip(if: .comma) else { break }
      isTuple = true
    }
    if isTuple { return try TemplateExpression(.tuple(elements)) }
    guard let element = elements.first else { throw .syntax("expected an expression, found \(current)") }
    return element
  }

  var isTupleEnd: Bool {
    switch current {
    case .variableEnd, .blockEnd, .symbol(.rightParenthesis): true
    default: false
    }
  }

  mutating func expression() throws(TemplateProblem) -> TemplateExpression {
    try nested { parser throws(TemplateProblem) in try parser.conditionalExpression() }
  }

  private mutating func unconditional() throws(TemplateProblem) -> TemplateExpression {
    try nested { parser throws(TemplateProblem) in try parser.disjunction() }
  }

  private mutating func conditionalExpression() throws(TemplateProblem) -> TemplateExpression {
    var value = try disjunction()
    while skip(ifName: "if") {
      let test = try disjunction()
      let otherwise = skip(ifName: "else") ? try expression() : nil
      value = try TemplateExpression(.conditional(test: test, then: value, otherwise: otherwise))
    }
    return value
  }

  private mutating func disjunction() throws(TemplateProblem) -> TemplateExpression {
    var left = try conjunction()
    while skip(ifName: "or") { left = try TemplateExpression(.or(left, try conjunction())) }
    return left
  }

  private mutating func conjunction() throws(TemplateProblem) -> TemplateExpression {
    var left = try negation()
    while skip(ifName: "and") { left = try TemplateExpression(.and(left, try negation())) }
    return left
  }

  private mutating func negation() throws(TemplateProblem) -> TemplateExpression {
    guard skip(ifName: "not") else { return try comparison() }
    return try TemplateExpression(
      .not(try nested { parser throws(TemplateProblem) in try parser.negation() }))
  }

  private mutating func comparison() throws(TemplateProblem) -> TemplateExpression {
    let first = try sum()
    var rest: [(TemplateExpression.ComparisonOperator, TemplateExpression)] = []
    while let comparison = comparisonOperator() { rest.append((comparison, try sum())) }
    return rest.isEmpty ? first : try TemplateExpression(.comparison(first, rest))
  }

  private mutating func comparisonOperator() -> TemplateExpression.ComparisonOperator? {
    switch current {
    case .symbol(let symbol):
      guard let comparison = TemplateExpression.ComparisonOperator(rawValue: symbol.rawValue) else {
        return nil
      }
      skip()
      return comparison
    case .name("in"):
      skip()
      return .isIn
    case .name("not") where following == .name("in"):
      skip()
      skip()
      return .isNotIn
    default: return nil
    }
  }

  private mutating func sum() throws(TemplateProblem) -> TemplateExpression {
    var left = try concatenation()
    while current == .symbol(.add) || current == .symbol(.subtract) {
      let isSum = skip(if: .add)
      if !isSum { skip() }
      left = try TemplateExpression(.arithmetic(isSum ? .add : .subtract, left, try concatenation()))
    }
    return left
  }

  private mutating func concatenation() throws(TemplateProblem) -> TemplateExpression {
    let first = try product()
    guard current == .symbol(.tilde) else { return first }
    var parts = [first]
    while skip(if: .tilde) { parts.append(try product()) }
    return try TemplateExpression(.concatenation(parts))
  }

  private mutating func product() throws(TemplateProblem) -> TemplateExpression {
    var left = try power()
    while case .symbol(let symbol) = current,
      [.multiply, .divide, .floorDivide, .remainder].contains(symbol),
      let arithmetic = TemplateExpression.ArithmeticOperator(rawValue: symbol.rawValue)
    {
      skip()
      left = try TemplateExpression(.arithmetic(arithmetic, left, try power()))
    }
    return left
  }

  /// Unlike Python's, Jinja's `**` groups to the left and binds looser than a sign.
  private mutating func power() throws(TemplateProblem) -> TemplateExpression {
    var left = try signed()
    while skip(if: .power) { left = try TemplateExpression(.arithmetic(.power, left, try signed())) }
    return left
  }

  private mutating func signed(allowsFilters: Bool = true) throws(TemplateProblem) -> TemplateExpression {
    var value: TemplateExpression
    if skip(if: .subtract) {
      let operand = try nested { parser throws(TemplateProblem) in try parser.signed(allowsFilters: false) }
      value = try TemplateExpression(.negate(operand))
    } else if skip(if: .add) {
      let operand = try nested { parser throws(TemplateProblem) in try parser.signed(allowsFilters: false) }
      value = try TemplateExpression(.plus(operand))
    } else {
      value = try primary()
    }
    value = try postfixes(of: value)
    return allowsFilters ? try filtersAndTests(of: value) : value
  }
}

extension TemplateParser {
  /// What may follow a test's name without parentheses.
  mutating func testArgument() throws(TemplateProblem) -> TemplateExpression {
    try postfixes(of: try primary())
  }

  private mutating func primary() throws(TemplateProblem) -> TemplateExpression {
    let token = current
    switch token {
    case .name(let name):
      skip()
      return switch name {
      case "true", "True": try TemplateExpression(.constant(true))
      case "false", "False": try TemplateExpression(.constant(false))
      case "none", "None": try TemplateExpression(.constant(.null))
      default: try TemplateExpression(.name(readSymbol(name)))
      }
    case .string(var text):
      skip()
      while case .string(let more) = current {
        text += more
        skip()
      }
      return try TemplateExpression(.constant(.string(text)))
    case .integer(let value):
      skip()
      return try TemplateExpression(.constant(.integer(value)))
    case .float(let value):
      skip()
      return try TemplateExpression(.constant(.double(value)))
    case .symbol(.leftParenthesis): return try parenthesised()
    case .symbol(.leftBracket): return try list()
    case .symbol(.leftBrace): return try dictionary()
    default: throw .syntax("unexpected \(token)")
    }
  }

  private mutating func parenthesised() throws(TemplateProblem) -> TemplateExpression {
    skip()
    if skip(if: .rightParenthesis) { return try TemplateExpression(.tuple([])) }
    let value = try tupleOrExpression()
    try expect(.rightParenthesis)
    return value
  }

  private mutating func list() throws(TemplateProblem) -> TemplateExpression {
    skip()
    var elements: [TemplateExpression] = []
    while current != .symbol(.rightBracket) {
      if !elements.isEmpty { try expect(.comma) }
      if current == .symbol(.rightBracket) { break }
      elements.append(try expression())
    }
    try expect(.rightBracket)
    return try TemplateExpression(.list(elements))
  }

  private mutating func dictionary() throws(TemplateProblem) -> TemplateExpression {
    skip()
    var pairs: [(key: TemplateExpression, value: TemplateExpression)] = []
    while current != .symbol(.rightBrace) {
      if !pairs.isEmpty { try expect(.comma) }
      if current == .symbol(.rightBrace) { break }
      let key = try expression()
      try expect(.colon)
      pairs.append((key, try expression()))
    }
    try expect(.rightBrace)
    return try TemplateExpression(.dictionary(pairs))
  }

  private mutating func postfixes(of start: TemplateExpression) throws(TemplateProblem) -> TemplateExpression
  {
    var value = start
    while true {
      if skip(if: .dot) {
        value = try member(of: value)
      } else if skip(if: .leftBracket) {
        value = try subscripted(value)
      } else if current == .symbol(.leftParenthesis) {
        value = try TemplateExpression(.call(value, try arguments()))
      } else {
        return value
      }
    }
  }

  private mutating func member(of object: TemplateExpression) throws(TemplateProblem) -> TemplateExpression {
    switch current {
    case .name(let name):
      skip()
      return try TemplateExpression(.attribute(object, name))
    case .integer(let index):
      skip()
      return try TemplateExpression(.item(object, try TemplateExpression(.constant(.integer(index)))))
    default: throw .syntax("expected a name or number behind '.', found \(current)")
    }
  }

  /// Behind `[`: an index, a slice, or several of them, which make a tuple.
  private mutating func subscripted(_ object: TemplateExpression) throws(TemplateProblem)
    -> TemplateExpression
  {
    if current == .symbol(.colon) { return try slice(of: object, start: nil) }
    if skip(if: .rightBracket) {
      return try TemplateExpression(.item(object, try TemplateExpression(.tuple([]))))
    }
    let first = try expression()
    if current == .symbol(.colon) { return try slice(of: object, start: first) }
    var keys = [first]
    while skip(if: .comma) {
      if current == .symbol(.colon) { throw .syntax("slices in more than one dimension are not supported") }
      keys.append(try expression())
    }
    try expect(.rightBracket)
    return try TemplateExpression(
      .item(object, keys.count == 1 ? first : try TemplateExpression(.tuple(keys))))
  }

  private mutating func slice(
    of object: TemplateExpression, start: TemplateExpression?
  ) throws(TemplateProblem) -> TemplateExpression {
    skip()
    let stop = try sliceBound()
    let step = skip(if: .colon) ? try sliceBound() : nil
    if current == .symbol(.comma) { throw .syntax("slices in more than one dimension are not supported") }
    try expect(.rightBracket)
    return try TemplateExpression(.slice(object, start: start, stop: stop, step: step))
  }

  private mutating func sliceBound() throws(TemplateProblem) -> TemplateExpression? {
    switch current {
    case .symbol(.colon), .symbol(.rightBracket), .symbol(.comma): nil
    default: try expression()
    }
  }
}
