/// The variables of one body: the template, one pass through a loop, a call of a macro.
///
/// Reading looks outwards, assigning never does, which is why a `set` in a loop is gone after it.
final class TemplateScope {
  let parent: TemplateScope?
  private var variables: [(symbol: Int, value: TemplateValue)] = []

  init(parent: TemplateScope?) { self.parent = parent }

  subscript(symbol: TemplateSymbol) -> TemplateValue? {
    var scope = self
    while true {
      for variable in scope.variables where variable.symbol == symbol.id { return variable.value }
      guard let parent = scope.parent else { return nil }
      scope = parent
    }
  }

  func set(_ symbol: TemplateSymbol, to value: TemplateValue) {
    if let place = variables.firstIndex(where: { $0.symbol == symbol.id }) {
      variables[place].value = value
    } else {
      variables.append((symbol.id, value))
    }
  }

  func removeAll() { variables = [] }
}

/// A macro, or the body of a call block, with the scope it was written in.
final class TemplateMacro {
  let syntax: TemplateMacroSyntax
  let scope: TemplateScope

  init(_ syntax: TemplateMacroSyntax, scope: TemplateScope) {
    self.syntax = syntax
    self.scope = scope
  }
}

/// The variable `loop`.
final class TemplateLoop {
  let elements: [TemplateValue]
  let syntax: TemplateLoopSyntax
  let scope: TemplateScope
  /// From 0: loops that a recursive loop calls are one deeper.
  let level: Int
  let depth: Int
  var index = 0
  var lastChanged: [TemplateValue]?

  init(_ elements: [TemplateValue], _ syntax: TemplateLoopSyntax, scope: TemplateScope, level: Int) {
    self.elements = elements
    self.syntax = syntax
    self.scope = scope
    self.level = level
    depth = 1 + elements.deepest
  }

  var count: Int { elements.count }

  func attribute(_ name: String) -> TemplateValue? {
    switch name {
    case "index": .integer(Int64(index + 1))
    case "index0": .integer(Int64(index))
    case "revindex": .integer(Int64(count - index))
    case "revindex0": .integer(Int64(count - index - 1))
    case "first": .bool(index == 0)
    case "last": .bool(index == count - 1)
    case "length": .integer(Int64(count))
    case "depth": .integer(Int64(level + 1))
    case "depth0": .integer(Int64(level))
    case "previtem":
      index > 0 ? elements[index - 1] : .undefined(TemplateUndefined(.other("there is no previous item")))
    case "nextitem":
      index + 1 < count ? elements[index + 1] : .undefined(TemplateUndefined(.other("there is no next item")))
    case "cycle", "changed": .method(TemplateMethod(.loop(self), name))
    default: nil
    }
  }
}
