/// The tests behind `is`.
enum TemplateTests {
  static let names = [
    "!=", "<", "<=", "==", ">", ">=", "boolean", "callable", "defined", "divisibleby", "eq", "equalto",
    "even",
    "false", "filter", "float", "ge", "greaterthan", "gt", "in", "integer", "iterable", "le", "lessthan",
    "lower", "lt", "mapping", "ne", "none", "number", "odd", "sameas", "sequence", "string", "test", "true",
    "undefined", "upper",
  ]

  /// The operators among them, by all their names.
  static let comparisons: [String: TemplateExpression.ComparisonOperator] = [
    "==": .equal, "eq": .equal, "equalto": .equal, "!=": .notEqual, "ne": .notEqual, "<": .less, "lt": .less,
    "lessthan": .less, "<=": .lessOrEqual, "le": .lessOrEqual, ">": .greater, "gt": .greater,
    "greaterthan": .greater, ">=": .greaterOrEqual, "ge": .greaterOrEqual, "in": .isIn,
  ]
}

extension TemplateInterpreter {
  func test(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateArguments
  ) throws(TemplateProblem) -> Bool {
    if let comparison = TemplateTests.comparisons[name] {
      let other = try arguments.bound(to: ["other"], required: 1, function: name)[0] ?? .none
      return try compare(value, comparison, other)
    }
    switch name {
    case "divisibleby":
      let divisor = try arguments.bound(to: ["num"], required: 1, function: name)[0] ?? .none
      return try isEqual(try arithmetic(.remainder, value, divisor), .integer(0))
    case "sameas":
      return try isSame(value, try arguments.bound(to: ["other"], required: 1, function: name)[0] ?? .none)
    default: try arguments.requireNone(name)
    }
    switch name {
    case "defined": return !value.isUndefined
    case "undefined": return value.isUndefined
    case "none": return value.isNone
    case "boolean": if case .bool = value { return true }
    case "true": if case .bool(true) = value { return true }
    case "false": if case .bool(false) = value { return true }
    case "integer": if case .integer = value { return true }
    case "float": if case .float = value { return true }
    case "string": if case .string = value { return true }
    case "mapping": if case .dictionary = value { return true }
    case "number": return value.isNumber
    case "iterable": return value.isIterable
    case "sequence":
      switch value {
      case .undefined, .string, .list, .tuple, .dictionary, .range: return true
      default: return false
      }
    case "callable":
      switch value {
      case .function, .method, .macro, .undefined: return true
      case .loop: return true
      default: return false
      }
    case "odd", "even":
      return try isEqual(try arithmetic(.remainder, value, .integer(2)), .integer(name == "odd" ? 1 : 0))
    case "lower": return try text(of: value).isLowerPython
    case "upper": return try text(of: value).isUpperPython
    case "filter":
      _ = try TemplateDictionary.Key(value)
      guard case .string(let name) = value else { return false }
      return TemplateFilters.table[name] != nil
    case "test":
      _ = try TemplateDictionary.Key(value)
      guard case .string(let name) = value else { return false }
      return TemplateTests.names.contains(name)
    default: throw .unknownTest(name)
    }
    return false
  }

  /// Python's `is`, as far as values here have an identity.
  private func isSame(_ a: TemplateValue, _ b: TemplateValue) throws(TemplateProblem) -> Bool {
    switch (a, b) {
    case (.none, .none): true
    case (.bool(let a), .bool(let b)): a == b
    case (.integer, .integer), (.float, .float), (.string, .string), (.namespace, .namespace):
      try isEqual(a, b)
    default: false
    }
  }
}
