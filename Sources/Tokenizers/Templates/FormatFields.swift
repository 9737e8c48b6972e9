/// The values a `%` format takes one after the other, or by key.
struct PercentArguments {
  private var rest: ArraySlice<TemplateValue>
  private let dictionary: TemplateDictionary?
  private let isTuple: Bool

  init(_ value: TemplateValue) {
    switch value {
    case .tuple(let sequence):
      rest = sequence.elements[...]
      dictionary = nil
      isTuple = true
    case .dictionary(let members):
      rest = [value]
      dictionary = members
      isTuple = false
    default:
      rest = [value]
      dictionary = nil
      isTuple = false
    }
  }

  /// What Python takes for a mapping may be left over: all that has `[]` and is no string or tuple.
  var isUsedUp: Bool {
    if rest.isEmpty || dictionary != nil { return true }
    guard !isTuple else { return false }
    return switch rest.first {
    case .list, .range, .undefined: true
    default: false
    }
  }

  mutating func next() throws(TemplateProblem) -> TemplateValue {
    guard let value = rest.popFirst() else { throw .type("not enough arguments for format string") }
    return value
  }

  func value(_ key: String) throws(TemplateProblem) -> TemplateValue {
    guard let dictionary else { throw .type("format requires a mapping") }
    guard let value = dictionary[key] else { throw .value("missing key '\(key)'") }
    return value
  }
}

/// `{name.attribute[item]!conversion:specification}`
struct BraceField {
  enum Step {
    case attribute(String)
    case item(String)
  }

  var name = ""
  var path: [Step] = []
  var conversion: Unicode.Scalar?
  var specification = ""

  /// Reads from behind the opening brace to behind the closing one.
  init(_ scalars: inout Substring.UnicodeScalarView) throws(TemplateProblem) {
    var head = ""
    var depth = 1
    var isInBrackets = false
    while let scalar = scalars.first {
      if !isInBrackets, scalar == "}" || scalar == "!" || scalar == ":" { break }
      if scalar == "{" { throw .value("unexpected '{' in field name") }
      if scalar == "[" { isInBrackets = true }
      if scalar == "]" { isInBrackets = false }
      head.unicodeScalars.append(scalar)
      scalars.removeFirst()
    }
    if scalars.first == "!" {
      scalars.removeFirst()
      conversion = scalars.popFirst()
      guard scalars.first == ":" || scalars.first == "}" else {
        throw .value("expected ':' after conversion specifier")
      }
    }
    if scalars.first == ":" {
      scalars.removeFirst()
      while let scalar = scalars.first {
        if scalar == "{" { depth += 1 }
        if scalar == "}" { depth -= 1 }
        if depth == 0 { break }
        specification.unicodeScalars.append(scalar)
        scalars.removeFirst()
      }
    }
    guard scalars.popFirst() == "}" else { throw .value("expected '}' before end of string") }
    try readPath(head)
  }

  private mutating func readPath(_ head: String) throws(TemplateProblem) {
    var rest = head.unicodeScalars[...]
    func take(while isPart: (Unicode.Scalar) -> Bool) -> String {
      let part = rest.prefix(while: isPart)
      rest = rest[part.endIndex...]
      return String(part)
    }
    name = take { $0 != "." && $0 != "[" }
    while let opener = rest.popFirst() {
      if opener == "." {
        path.append(.attribute(take { $0 != "." && $0 != "[" }))
      } else {
        guard opener == "[" else { throw .value("Only '.' or '[' may follow ']' in format field specifier") }
        path.append(.item(take { $0 != "]" }))
        guard rest.popFirst() != nil else { throw .value("Missing ']' in format string") }
      }
      if case .attribute("") = path.last { throw .value("Empty attribute in format string") }
      if case .item("") = path.last { throw .value("Empty attribute in format string") }
    }
  }
}

/// `{}` counts up; `{0}` and `{}` can't be mixed.
struct BraceNumbering {
  private var next = 0
  private var isExplicit: Bool?

  /// The place of a positional argument; nil when the name is one of a keyword.
  mutating func place(of name: String) throws(TemplateProblem) -> Int? {
    let explicit = Int(name)
    guard name.isEmpty || explicit != nil, explicit.map({ $0 >= 0 }) ?? true else { return nil }
    if let isExplicit, isExplicit != !name.isEmpty {
      throw .value("cannot switch between manual field specification and automatic field numbering")
    }
    isExplicit = !name.isEmpty
    defer { if explicit == nil { next += 1 } }
    return explicit ?? next
  }
}
