extension TemplateInterpreter {
  /// How a body ended.
  enum Completion { case normal, leaveLoop, continueLoop }

  func run(_ body: [TemplateLine], in scope: TemplateScope) throws(TemplateProblem) -> Completion {
    for statement in body {
      line = statement.line
      try step()
      let completion = try nested { () throws(TemplateProblem) in try run(statement.statement, in: scope) }
      if completion != .normal { return completion }
    }
    return .normal
  }

  private func run(
    _ statement: TemplateStatement, in scope: TemplateScope
  ) throws(TemplateProblem) -> Completion {
    switch statement {
    case .text(let text): try print(text)
    case .output(let expression): try print(try text(of: try evaluate(expression, in: scope)))
    case .assign(let target, let expression):
      try assign(try evaluate(expression, in: scope), to: target, in: scope)
    case .assignBlock(let target, let filters, let body):
      try assign(try rendered(body, filters: filters, in: scope), to: target, in: scope)
    case .conditional(let branches, let otherwise):
      for branch in branches where try evaluate(branch.test, in: scope).isTrue {
        return try run(branch.body, in: scope)
      }
      return try run(otherwise, in: scope)
    case .loop(let loop): try run(loop, over: try evaluate(loop.sequence, in: scope), in: scope, level: 0)
    case .macro(let syntax): scope.set(syntax.symbol, to: .macro(makeMacro(syntax, in: scope)))
    case .call(let syntax, let call): try print(try text(of: try run(call, caller: syntax, in: scope)))
    case .filterBlock(let filters, let body):
      try print(try text(of: try rendered(body, filters: filters, in: scope)))
    case .with(let assignments, let body): try run(body, with: assignments, in: scope)
    case .block(let block):
      _ = try run(block.body, in: TemplateScope(parent: block.isScoped ? scope : outermost(scope)))
    case .generation(let body): _ = try run(body, in: TemplateScope(parent: scope))
    case .leaveLoop: return .leaveLoop
    case .continueLoop: return .continueLoop
    }
    return .normal
  }

  private func run(
    _ body: [TemplateLine], with assignments: [(TemplateTarget, TemplateExpression)], in scope: TemplateScope
  ) throws(TemplateProblem) {
    let inner = TemplateScope(parent: scope)
    for (target, expression) in assignments {
      try assign(try evaluate(expression, in: scope), to: target, in: inner)
    }
    _ = try run(body, in: inner)
  }

  /// A block sees the variables of the template, not those of the loops and macros around it.
  private func outermost(_ scope: TemplateScope) -> TemplateScope {
    var scope = scope
    while let parent = scope.parent, parent !== root { scope = parent }
    return scope
  }

  /// The text a body prints, passed through the filters if there are any.
  private func rendered(
    _ body: [TemplateLine], filters: TemplateExpression?, in scope: TemplateScope
  ) throws(TemplateProblem) -> TemplateValue {
    let text = try captured { () throws(TemplateProblem) in
      _ = try run(body, in: TemplateScope(parent: scope))
    }
    let value = try produced(text)
    guard let filters else { return value }
    return try evaluate(filters, in: scope, blockText: value)
  }

  func assign(
    _ value: TemplateValue, to target: TemplateTarget, in scope: TemplateScope
  ) throws(TemplateProblem) {
    switch target {
    case .name(let symbol): scope.set(symbol, to: try storable(value))
    case .attribute(let symbol, let name):
      guard case .namespace(let namespace) = scope[symbol] else {
        throw .value("cannot assign attribute on non-namespace object")
      }
      namespace.set(name, to: try storable(value))
    case .tuple(let targets):
      let elements = try elements(of: value)
      guard elements.count == targets.count else {
        throw .value("cannot unpack \(elements.count) values into \(targets.count) names")
      }
      for (target, element) in zip(targets, elements) { try assign(element, to: target, in: scope) }
    }
  }
}

extension TemplateInterpreter {
  /// `level` is 0, or one more than that of the recursive loop this is called from.
  func run(
    _ loop: TemplateLoopSyntax, over sequence: TemplateValue, in scope: TemplateScope, level: Int
  ) throws(TemplateProblem) {
    var elements = try elements(of: sequence)
    if let filter = loop.filter {
      var kept: [TemplateValue] = []
      for element in elements {
        let inner = TemplateScope(parent: scope)
        try assign(element, to: loop.target, in: inner)
        if try evaluate(filter, in: inner).isTrue { kept.append(element) }
      }
      elements = kept
    }
    if elements.isEmpty {
      _ = try run(loop.otherwise, in: TemplateScope(parent: scope))
      return
    }
    let state = TemplateLoop(elements, loop, scope: scope, level: level)
    let loopSymbol = symbols["loop"]
    for (index, element) in elements.enumerated() {
      try step()
      state.index = index
      let inner = TemplateScope(parent: scope)
      if let loopSymbol { inner.set(loopSymbol, to: .loop(state)) }
      try assign(element, to: loop.target, in: inner)
      if try run(loop.body, in: inner) == .leaveLoop { return }
    }
  }
}
