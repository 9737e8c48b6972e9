internal import JSON

extension TemplateInterpreter {
  func call(_ callee: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem) -> TemplateValue
  {
    switch callee {
    case .function(let function): try call(function, arguments)
    case .method(let method): try call(method, arguments)
    case .macro(let macro): try call(macro, arguments)
    case .loop(let loop): try call(loop, arguments)
    case .undefined(let undefined): throw undefined.problem
    default: throw .type("'\(callee.typeName)' object is not callable")
    }
  }

  /// `{% call(x) name(…) %}body{% endcall %}`: the body becomes the argument `caller` of the call.
  func run(
    _ call: TemplateExpression, caller: TemplateMacroSyntax, in scope: TemplateScope
  ) throws(TemplateProblem) -> TemplateValue {
    guard case .call(let expression, let syntax) = call.kind else { throw .syntax("expected a call") }
    let callee = try evaluate(expression, in: scope)
    var arguments = try evaluate(syntax, in: scope)
    if arguments.keyword("caller") != nil { throw .type("got multiple values for keyword argument 'caller'") }
    arguments.keywords.append(("caller", .macro(makeMacro(caller, in: scope))))
    return try self.call(callee, arguments)
  }

  private func call(_ loop: TemplateLoop, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let sequence = try arguments.bound(to: ["iterable"], required: 1, function: "loop")[0]
    guard loop.syntax.isRecursive, let sequence else {
      throw .type("the loop must have the 'recursive' marker to be called recursively")
    }
    let text = try captured { () throws(TemplateProblem) in
      try run(loop.syntax, over: sequence, in: loop.scope, level: loop.level + 1)
    }
    return try produced(text)
  }

  private func call(_ macro: TemplateMacro, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let syntax = macro.syntax
    let scope = TemplateScope(parent: macro.scope)
    var keywords = arguments.keywords
    func takeKeyword(_ name: String) -> TemplateValue? {
      guard let place = keywords.firstIndex(where: { $0.name == name }) else { return nil }
      return keywords.remove(at: place).value
    }
    var missing: [TemplateMacroSyntax.Parameter] = []
    for (index, parameter) in syntax.parameters.enumerated() {
      if index < arguments.positional.count {
        scope.set(parameter.symbol, to: try storable(arguments.positional[index]))
      } else if let value = takeKeyword(parameter.symbol.name) {
        scope.set(parameter.symbol, to: try storable(value))
      } else {
        missing.append(parameter)
      }
    }
    let hasCallerParameter = syntax.parameters.contains { $0.symbol.name == "caller" }
    if syntax.usesCaller, !hasCallerParameter, let caller = symbols["caller"] {
      scope.set(
        caller, to: takeKeyword("caller") ?? .undefined(TemplateUndefined(.other("no caller defined"))))
    }
    try bindRest(of: arguments, keywords: keywords, in: scope, syntax)
    // Defaults are computed at each call and may use the parameters before them.
    for parameter in missing {
      let undefined = TemplateUndefined(.parameter(parameter.symbol.name))
      scope.set(parameter.symbol, to: .undefined(undefined))
    }
    for parameter in missing {
      guard let expression = parameter.defaultValue else { continue }
      scope.set(parameter.symbol, to: try storable(try evaluate(expression, in: scope)))
    }
    let callLine = line
    let text = try captured { () throws(TemplateProblem) in
      _ = try nested { () throws(TemplateProblem) in try run(syntax.body, in: scope) }
    }
    line = callLine
    return try produced(text)
  }

  private func bindRest(
    of arguments: TemplateArguments, keywords: [(name: String, value: TemplateValue)],
    in scope: TemplateScope, _ syntax: TemplateMacroSyntax
  ) throws(TemplateProblem) {
    let name = syntax.symbol.name
    if syntax.usesKeywords, let symbol = symbols["kwargs"] {
      let pairs = keywords.map { (key: TemplateValue.string($0.name), value: $0.value) }
      scope.set(symbol, to: try storable(.dictionary(try TemplateDictionary(pairs))))
    } else if let keyword = keywords.first {
      throw .type("macro '\(name)' takes no keyword argument '\(keyword.name)'")
    }
    if syntax.usesVariadics, let symbol = symbols["varargs"] {
      scope.set(
        symbol, to: try storable(.tuple(Array(arguments.positional.dropFirst(syntax.parameters.count)))))
    } else if arguments.positional.count > syntax.parameters.count {
      throw .type("macro '\(name)' takes not more than \(syntax.parameters.count) argument(s)")
    }
  }

  private func call(
    _ function: TemplateFunction, _ arguments: TemplateArguments
  ) throws(TemplateProblem) -> TemplateValue {
    switch function {
    case .range: return .range(try range(arguments))
    case .namespace:
      let namespace = makeNamespace()
      for (key, value) in try members(of: arguments, "namespace") {
        guard case .string(let name) = key else { throw .type("a namespace's names must be strings") }
        namespace.set(name, to: try storable(value))
      }
      return .namespace(namespace)
    case .dict: return .dictionary(try TemplateDictionary(try members(of: arguments, "dict")))
    case .raiseException:
      let message = try arguments.bound(to: ["message"], required: 1, function: function.rawValue)[0]
      throw .raised(try text(of: message ?? .none))
    case .strftimeNow:
      let format = try arguments.bound(to: ["format"], required: 1, function: function.rawValue)[0]
      guard case .string(let format) = format else { throw .type("strftime_now() needs a format string") }
      try produce(bytes: 65 * format.utf8.count)
      return try produced(try now.formatted(format))
    }
  }

  private func range(_ arguments: TemplateArguments) throws(TemplateProblem) -> TemplateRange {
    let names = ["start", "stop", "step"]
    let bounds = try arguments.bound(to: names, required: 1, positionalOnly: 3, function: "range")
    var numbers: [Int64] = []
    for bound in bounds.compactMap({ $0 }) {
      guard let number = bound.index else {
        throw .type("'\(bound.typeName)' object cannot be interpreted as an integer")
      }
      numbers.append(number)
    }
    let step = numbers.count > 2 ? numbers[2] : 1
    if step == 0 { throw .value("range() arg 3 must not be zero") }
    let (start, stop) = numbers.count > 1 ? (numbers[0], numbers[1]) : (0, numbers[0])
    guard let range = TemplateRange(start: start, stop: stop, step: step) else { throw .limit(.range) }
    return range
  }

  /// `dict(mapping, a=1)` and `dict(pairs)`: a mapping or pairs, then keywords.
  private func members(
    of arguments: TemplateArguments, _ function: String
  ) throws(TemplateProblem) -> [(key: TemplateValue, value: TemplateValue)] {
    guard arguments.positional.count <= 1 else {
      throw .type("\(function)() takes at most 1 positional argument")
    }
    var members: [(key: TemplateValue, value: TemplateValue)] = []
    if case .dictionary(let dictionary) = arguments.positional.first {
      try step(dictionary.count)
      members = zip(dictionary.keys, dictionary.values).map { ($0, $1) }
    } else if let value = arguments.positional.first {
      for element in try elements(of: value) {
        let pair = try elements(of: element)
        guard pair.count == 2 else { throw .value("a dictionary's members must be pairs") }
        members.append((pair[0], pair[1]))
      }
    }
    return members + arguments.keywords.map { (.string($0.name), $0.value) }
  }
}

extension TemplateValue {
  /// The whole number that Python would use as an index.
  var index: Int64? {
    switch self {
    case .integer(let value): value
    case .bool(let value): value ? 1 : 0
    default: nil
    }
  }
}
