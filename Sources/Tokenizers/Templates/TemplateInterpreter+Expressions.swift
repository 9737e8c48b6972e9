internal import JSON

extension TemplateInterpreter {
  /// - Parameter blockText: what a filter without an input takes, in `{% filter %}` and `{% set %}` blocks.
  func evaluate(
    _ expression: TemplateExpression, in scope: TemplateScope, blockText: TemplateValue? = nil
  ) throws(TemplateProblem) -> TemplateValue {
    try step()
    return try nested { () throws(TemplateProblem) in
      switch expression.kind {
      case .constant(let value): return TemplateValue(value)
      case .name(let symbol): return scope[symbol] ?? .undefined(TemplateUndefined(.variable(symbol.name)))
      case .list(let elements): return .list(try evaluate(elements, in: scope))
      case .tuple(let elements): return .tuple(try evaluate(elements, in: scope))
      case .dictionary(let pairs): return try evaluate(pairs, in: scope)
      case .attribute(let object, let name): return try attribute(name, of: try evaluate(object, in: scope))
      case .item(let object, let key):
        return try item(try evaluate(key, in: scope), of: try evaluate(object, in: scope))
      case .slice(let object, let start, let stop, let step):
        return try slice(
          try evaluate(object, in: scope), start: try evaluate(start, in: scope),
          stop: try evaluate(stop, in: scope), step: try evaluate(step, in: scope))
      case .call(let callee, let arguments):
        return try call(try evaluate(callee, in: scope), try evaluate(arguments, in: scope))
      case .filter(let input, let name, let arguments):
        return try filter(input, name, arguments, in: scope, blockText: blockText)
      case .test(let input, let name, let arguments):
        return .bool(try test(name, try evaluate(input, in: scope), try evaluate(arguments, in: scope)))
      case .not(let operand): return .bool(try !evaluate(operand, in: scope).isTrue)
      case .negate(let operand): return try negated(try evaluate(operand, in: scope))
      case .plus(let operand): return try unchanged(try evaluate(operand, in: scope))
      case .arithmetic(let operation, let left, let right):
        return try arithmetic(operation, try evaluate(left, in: scope), try evaluate(right, in: scope))
      case .comparison(let first, let rest): return try comparison(first, rest, in: scope)
      case .and(let left, let right):
        let value = try evaluate(left, in: scope)
        return value.isTrue ? try evaluate(right, in: scope) : value
      case .or(let left, let right):
        let value = try evaluate(left, in: scope)
        return value.isTrue ? value : try evaluate(right, in: scope)
      case .concatenation(let parts): return try concatenation(parts, in: scope)
      case .conditional(let test, let then, let otherwise):
        if try evaluate(test, in: scope).isTrue { return try evaluate(then, in: scope) }
        guard let otherwise else {
          return .undefined(TemplateUndefined(.other("the condition is false and there is no else")))
        }
        return try evaluate(otherwise, in: scope)
      }
    }
  }

  private func evaluate(
    _ expressions: [TemplateExpression], in scope: TemplateScope
  ) throws(TemplateProblem) -> [TemplateValue] {
    var values: [TemplateValue] = []
    values.reserveCapacity(expressions.count)
    for expression in expressions { values.append(try evaluate(expression, in: scope)) }
    return values
  }

  private func evaluate(
    _ expression: TemplateExpression?, in scope: TemplateScope
  ) throws(TemplateProblem) -> TemplateValue {
    guard let expression else { return .none }
    return try evaluate(expression, in: scope)
  }

  private func evaluate(
    _ pairs: [(key: TemplateExpression, value: TemplateExpression)], in scope: TemplateScope
  ) throws(TemplateProblem) -> TemplateValue {
    var values: [(key: TemplateValue, value: TemplateValue)] = []
    for pair in pairs {
      let key = try evaluate(pair.key, in: scope)
      try look(at: key)
      values.append((key, try evaluate(pair.value, in: scope)))
    }
    return .dictionary(try TemplateDictionary(values))
  }

  private func concatenation(
    _ parts: [TemplateExpression], in scope: TemplateScope
  ) throws(TemplateProblem) -> TemplateValue {
    var result = ""
    for part in parts {
      let text = try text(of: try evaluate(part, in: scope))
      try produce(bytes: text.utf8.count)
      result += text
    }
    return .string(result)
  }

  /// `a < b < c` holds when each neighbouring pair does; evaluation stops at the first that does not.
  private func comparison(
    _ first: TemplateExpression, _ rest: [(TemplateExpression.ComparisonOperator, TemplateExpression)],
    in scope: TemplateScope
  ) throws(TemplateProblem) -> TemplateValue {
    var left = try evaluate(first, in: scope)
    for (comparison, expression) in rest {
      let right = try evaluate(expression, in: scope)
      if try !compare(left, comparison, right) { return .bool(false) }
      left = right
    }
    return .bool(true)
  }

  func compare(
    _ left: TemplateValue, _ comparison: TemplateExpression.ComparisonOperator, _ right: TemplateValue
  ) throws(TemplateProblem) -> Bool {
    switch comparison {
    case .equal: try isEqual(left, right)
    case .notEqual: try !isEqual(left, right)
    case .less: try order(left, right, "<").map { $0 < 0 } ?? false
    case .lessOrEqual: try order(left, right, "<=").map { $0 <= 0 } ?? false
    case .greater: try order(left, right, ">").map { $0 > 0 } ?? false
    case .greaterOrEqual: try order(left, right, ">=").map { $0 >= 0 } ?? false
    case .isIn: try contains(right, left)
    case .isNotIn: try !contains(right, left)
    }
  }

  private func filter(
    _ input: TemplateExpression?, _ name: String, _ arguments: TemplateArgumentsSyntax,
    in scope: TemplateScope, blockText: TemplateValue?
  ) throws(TemplateProblem) -> TemplateValue {
    let value: TemplateValue
    if let input {
      value = try evaluate(input, in: scope, blockText: blockText)
    } else if let blockText {
      value = blockText
    } else {
      throw .syntax("a filter has no input")
    }
    return try applyFilter(name, to: value, try evaluate(arguments, in: scope))
  }

  func evaluate(
    _ syntax: TemplateArgumentsSyntax, in scope: TemplateScope
  ) throws(TemplateProblem) -> TemplateArguments {
    var arguments = TemplateArguments(positional: try evaluate(syntax.positional, in: scope))
    for (name, expression) in syntax.keywords {
      arguments.keywords.append((name, try evaluate(expression, in: scope)))
    }
    if let spread = syntax.spread {
      arguments.positional += try elements(of: try evaluate(spread, in: scope))
    }
    guard let spread = syntax.keywordSpread else { return arguments }
    guard case .dictionary(let dictionary) = try evaluate(spread, in: scope) else {
      throw .type("what stands behind ** must be a mapping")
    }
    try step(dictionary.count)
    for (key, value) in zip(dictionary.keys, dictionary.values) {
      guard case .string(let name) = key else { throw .type("keywords must be strings") }
      if arguments.keyword(name) != nil { throw .type("got multiple values for keyword argument '\(name)'") }
      arguments.keywords.append((name, value))
    }
    return arguments
  }
}
