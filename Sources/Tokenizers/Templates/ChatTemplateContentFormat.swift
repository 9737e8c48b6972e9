internal import JSON

extension ChatTemplateContentFormat {
  /// A template that loops over `message.content`, where `message` comes from a loop over `messages`, wants
  /// parts. Both names may have been assigned on the way, filtered or sliced. Scopes are not looked at.
  init(of template: ParsedTemplate) {
    let statements = template.statements
    let messageLists = Self.names(statements, from: "messages") { Self.isElements($0, of: $1) }
    var messages: Set<String> = []
    for case .loop(let loop) in statements {
      guard case .name(let target) = loop.target else { continue }
      if messageLists.contains(where: { Self.isElements(loop.sequence, of: $0) }) {
        messages.insert(target.name)
      }
    }
    let loopsOverContent = statements.contains { statement in
      guard case .loop(let loop) = statement else { return false }
      return messages.contains { Self.isElements(loop.sequence, of: $0, key: "content") }
    }
    self = loopsOverContent ? .openai : .string
  }

  /// `start` and all names that are assigned something made of one found before.
  private static func names(
    _ statements: [TemplateStatement], from start: String, _ isMadeOf: (TemplateExpression, String) -> Bool
  ) -> Set<String> {
    var found: Set<String> = [start]
    var queue = [start]
    while let name = queue.popLast() {
      for case .assign(.name(let target), let value) in statements where isMadeOf(value, name) {
        if found.insert(target.name).inserted { queue.append(target.name) }
      }
    }
    return found
  }

  /// The variable itself, or its member `key`, under any filters, tests and slices.
  private static func isElements(_ expression: TemplateExpression, of name: String, key: String? = nil)
    -> Bool
  {
    switch expression.kind {
    case .filter(let input?, _, _): isElements(input, of: name, key: key)
    case .test(let input, _, _): isElements(input, of: name, key: key)
    case .slice(let object, _, _, _): isElements(object, of: name, key: key)
    case .name(let symbol): key == nil && symbol.name == name
    case .attribute(let object, let attribute): attribute == key && isElements(object, of: name)
    case .item(let object, let item):
      if case .constant(.string(let constant)) = item.kind {
        constant == key && isElements(object, of: name)
      } else {
        false
      }
    default: false
    }
  }
}
