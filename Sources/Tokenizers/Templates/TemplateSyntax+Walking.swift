extension TemplateStatement {
  /// The bodies directly inside, and whether they run only under a condition, so that names in them matter
  /// only when they are reached.
  var bodies: [(lines: [TemplateLine], isConditional: Bool)] {
    switch self {
    case .text, .output, .assign, .leaveLoop, .continueLoop: []
    case .assignBlock(_, _, let body), .filterBlock(_, let body), .with(_, let body), .generation(let body):
      [(body, false)]
    case .conditional(let branches, let otherwise): branches.map { ($0.body, true) } + [(otherwise, true)]
    case .loop(let loop): [(loop.body, false), (loop.otherwise, false)]
    case .macro(let macro), .call(let macro, _): [(macro.body, false)]
    case .block(let block): [(block.body, false)]
    }
  }

  /// The expressions directly inside.
  var expressions: [TemplateExpression] {
    switch self {
    case .text, .leaveLoop, .continueLoop, .generation, .block: []
    case .output(let expression), .assign(_, let expression), .filterBlock(let expression, _): [expression]
    case .assignBlock(_, let filters, _): filters.map { [$0] } ?? []
    case .conditional(let branches, _): branches.map(\.test)
    case .loop(let loop): [loop.sequence] + (loop.filter.map { [$0] } ?? [])
    case .macro(let macro): macro.parameters.compactMap(\.defaultValue)
    case .call(let macro, let call): macro.parameters.compactMap(\.defaultValue) + [call]
    case .with(let assignments, _): assignments.map(\.1)
    }
  }
}

extension ParsedTemplate {
  /// All statements, each before those inside it.
  var statements: [TemplateStatement] {
    var found: [TemplateStatement] = []
    func collect(_ lines: [TemplateLine]) {
      for line in lines {
        found.append(line.statement)
        for body in line.statement.bodies { collect(body.lines) }
      }
    }
    collect(body)
    return found
  }

  /// Refuses filters and tests that do not exist, but not in branches that may never be taken: templates ask
  /// there first whether an engine has them.
  func checkNames() throws(TemplateError) {
    try checkNames(in: body, isConditional: false)
  }

  private func checkNames(in lines: [TemplateLine], isConditional: Bool) throws(TemplateError) {
    for line in lines {
      for expression in line.statement.expressions {
        do {
          try checkNames(in: expression, isConditional: isConditional)
        } catch {
          throw TemplateError(error, line: line.line)
        }
      }
      for body in line.statement.bodies { try checkNames(in: body.lines, isConditional: body.isConditional) }
    }
  }

  private func checkNames(in expression: TemplateExpression, isConditional: Bool) throws(TemplateProblem) {
    var isConditional = isConditional
    switch expression.kind {
    case .filter(_, let name, _) where TemplateFilters.table[name] == nil && !isConditional:
      throw .unknownFilter(name)
    case .test(_, let name, _) where !TemplateTests.names.contains(name) && !isConditional:
      throw .unknownTest(name)
    case .conditional: isConditional = true
    default: break
    }
    for child in expression.kind.children { try checkNames(in: child, isConditional: isConditional) }
  }
}
