internal import JSON

/// The tree of a parsed template.
indirect enum TemplateStatement: Sendable {
  case text(String)
  case output(TemplateExpression)
  case assign(TemplateTarget, TemplateExpression)
  /// `{% set x | filter %}…{% endset %}`; the filters' innermost input is the rendered body.
  case assignBlock(TemplateTarget, filters: TemplateExpression?, body: [TemplateLine])
  case conditional([(test: TemplateExpression, body: [TemplateLine])], otherwise: [TemplateLine])
  case loop(TemplateLoopSyntax)
  case macro(TemplateMacroSyntax)
  /// `{% call(arguments) name(…) %}body{% endcall %}`
  case call(TemplateMacroSyntax, TemplateExpression)
  case filterBlock(TemplateExpression, body: [TemplateLine])
  case with([(TemplateTarget, TemplateExpression)], body: [TemplateLine])
  case block(TemplateBlockSyntax)
  /// `{% generation %}`: marks what the assistant said for training; renders its body.
  case generation(body: [TemplateLine])
  case leaveLoop
  case continueLoop
}

/// A statement and the line it starts at.
struct TemplateLine: Sendable {
  let statement: TemplateStatement
  let line: Int
}

struct TemplateLoopSyntax: Sendable {
  let target: TemplateTarget
  let sequence: TemplateExpression
  let filter: TemplateExpression?
  let isRecursive: Bool
  let body: [TemplateLine]
  let otherwise: [TemplateLine]
}

/// A macro, or the anonymous one that a call block makes of its body.
struct TemplateMacroSyntax: Sendable {
  struct Parameter: Sendable {
    let symbol: TemplateSymbol
    let defaultValue: TemplateExpression?
  }

  let symbol: TemplateSymbol
  let parameters: [Parameter]
  let body: [TemplateLine]
  /// Whether the body reads the names that Jinja gives a macro only when it uses them.
  let usesCaller: Bool
  let usesKeywords: Bool
  let usesVariadics: Bool
}

struct TemplateBlockSyntax: Sendable {
  let name: String
  let isScoped: Bool
  let body: [TemplateLine]
}

/// What a value can be assigned to.
indirect enum TemplateTarget: Sendable {
  case name(TemplateSymbol)
  /// `{% set ns.attribute = … %}`
  case attribute(TemplateSymbol, String)
  case tuple([TemplateTarget])
}

/// A variable's name, numbered so that scopes compare integers.
struct TemplateSymbol: Sendable, Equatable {
  let id: Int
  let name: String
}

/// A node of an expression. `depth` bounds the recursion of all that walks it, and of freeing it.
final class TemplateExpression: Sendable {
  enum Kind: Sendable {
    case constant(JSONValue)
    case name(TemplateSymbol)
    case list([TemplateExpression])
    case tuple([TemplateExpression])
    case dictionary([(key: TemplateExpression, value: TemplateExpression)])
    case attribute(TemplateExpression, String)
    case item(TemplateExpression, TemplateExpression)
    case slice(
      TemplateExpression, start: TemplateExpression?, stop: TemplateExpression?, step: TemplateExpression?)
    case call(TemplateExpression, TemplateArgumentsSyntax)
    /// Without an input it stands in a block, and takes what the block rendered.
    case filter(TemplateExpression?, name: String, TemplateArgumentsSyntax)
    case test(TemplateExpression, name: String, TemplateArgumentsSyntax)
    case not(TemplateExpression)
    case negate(TemplateExpression)
    case plus(TemplateExpression)
    case arithmetic(ArithmeticOperator, TemplateExpression, TemplateExpression)
    case comparison(TemplateExpression, [(ComparisonOperator, TemplateExpression)])
    case and(TemplateExpression, TemplateExpression)
    case or(TemplateExpression, TemplateExpression)
    case concatenation([TemplateExpression])
    case conditional(test: TemplateExpression, then: TemplateExpression, otherwise: TemplateExpression?)
  }

  enum ArithmeticOperator: String, Sendable {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case floorDivide = "//"
    case remainder = "%"
    case power = "**"
  }

  enum ComparisonOperator: String, Sendable {
    case equal = "=="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case isIn = "in"
    case isNotIn = "not in"
  }

  let kind: Kind
  let depth: Int

  init(_ kind: Kind) throws(TemplateProblem) {
    self.kind = kind
    depth = 1 + kind.children.reduce(0) { max($0, $1.depth) }
    if depth > TemplateLimits.maxSyntaxDepth { throw .limit(.syntaxDepth) }
  }
}

struct TemplateArgumentsSyntax: Sendable {
  var positional: [TemplateExpression] = []
  var keywords: [(name: String, value: TemplateExpression)] = []
  /// `*list` and `**dictionary`
  var spread: TemplateExpression?
  var keywordSpread: TemplateExpression?

  var children: [TemplateExpression] {
    positional + keywords.map(\.value) + [spread, keywordSpread].compactMap { $0 }
  }
}

extension TemplateExpression.Kind {
  var children: [TemplateExpression] {
    switch self {
    case .constant, .name: []
    case .list(let elements), .tuple(let elements), .concatenation(let elements): elements
    case .dictionary(let pairs): pairs.flatMap { [$0.key, $0.value] }
    case .attribute(let object, _), .not(let object), .negate(let object), .plus(let object): [object]
    case .item(let object, let key): [object, key]
    case .slice(let object, let start, let stop, let step): [object] + [start, stop, step].compactMap { $0 }
    case .call(let callee, let arguments): [callee] + arguments.children
    case .filter(let input, _, let arguments): (input.map { [$0] } ?? []) + arguments.children
    case .test(let input, _, let arguments): [input] + arguments.children
    case .arithmetic(_, let left, let right), .and(let left, let right), .or(let left, let right):
      [left, right]
    case .comparison(let first, let rest): [first] + rest.map(\.1)
    case .conditional(let test, let then, let otherwise): [test, then] + (otherwise.map { [$0] } ?? [])
    }
  }
}
