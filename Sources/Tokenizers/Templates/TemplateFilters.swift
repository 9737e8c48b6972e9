internal import JSON

/// The filters behind `|`. Adding one is a method and a line here.
enum TemplateFilters {
  typealias Filter =
    @Sendable (TemplateInterpreter) -> (TemplateValue, TemplateArguments) throws(TemplateProblem) ->
    TemplateValue

  static let table: [String: Filter] = [
    "abs": TemplateInterpreter.absFilter,
    "attr": TemplateInterpreter.attrFilter,
    "batch": TemplateInterpreter.batchFilter,
    "capitalize": TemplateInterpreter.capitalizeFilter,
    "center": TemplateInterpreter.centerFilter,
    "count": TemplateInterpreter.lengthFilter,
    "d": TemplateInterpreter.defaultFilter,
    "default": TemplateInterpreter.defaultFilter,
    "dictsort": TemplateInterpreter.dictsortFilter,
    "e": TemplateInterpreter.escapeFilter,
    "escape": TemplateInterpreter.escapeFilter,
    "first": TemplateInterpreter.firstFilter,
    "float": TemplateInterpreter.floatFilter,
    "forceescape": TemplateInterpreter.escapeFilter,
    "format": TemplateInterpreter.formatFilter,
    "from_json": TemplateInterpreter.fromJSONFilter,
    "groupby": TemplateInterpreter.groupbyFilter,
    "indent": TemplateInterpreter.indentFilter,
    "int": TemplateInterpreter.intFilter,
    "items": TemplateInterpreter.itemsFilter,
    "join": TemplateInterpreter.joinFilter,
    "last": TemplateInterpreter.lastFilter,
    "length": TemplateInterpreter.lengthFilter,
    "list": TemplateInterpreter.listFilter,
    "lower": TemplateInterpreter.lowerFilter,
    "map": TemplateInterpreter.mapFilter,
    "max": TemplateInterpreter.maxFilter,
    "min": TemplateInterpreter.minFilter,
    "reject": TemplateInterpreter.rejectFilter,
    "rejectattr": TemplateInterpreter.rejectattrFilter,
    "replace": TemplateInterpreter.replaceFilter,
    "reverse": TemplateInterpreter.reverseFilter,
    "round": TemplateInterpreter.roundFilter,
    "safe": TemplateInterpreter.stringFilter,
    "select": TemplateInterpreter.selectFilter,
    "selectattr": TemplateInterpreter.selectattrFilter,
    "slice": TemplateInterpreter.sliceFilter,
    "sort": TemplateInterpreter.sortFilter,
    "string": TemplateInterpreter.stringFilter,
    "sum": TemplateInterpreter.sumFilter,
    "title": TemplateInterpreter.titleFilter,
    "tojson": TemplateInterpreter.tojsonFilter,
    "trim": TemplateInterpreter.trimFilter,
    "truncate": TemplateInterpreter.truncateFilter,
    "unique": TemplateInterpreter.uniqueFilter,
    "upper": TemplateInterpreter.upperFilter,
    "wordcount": TemplateInterpreter.wordcountFilter,
  ]

  static var names: [String] { table.keys.sorted() }
}

extension TemplateInterpreter {
  func applyFilter(
    _ name: String, to value: TemplateValue, _ arguments: TemplateArguments
  ) throws(TemplateProblem) -> TemplateValue {
    guard let filter = TemplateFilters.table[name] else { throw .unknownFilter(name) }
    return try filter(self)(value, arguments)
  }

  /// A keyword or positional argument that must be a whole number.
  func integer(
    _ value: TemplateValue?, default missing: Int64, _ function: String
  ) throws(TemplateProblem) -> Int64 {
    guard let value else { return missing }
    if case .undefined(let undefined) = value { throw undefined.problem }
    guard let integer = value.index else {
      throw .type("\(function) needs a whole number, not '\(value.typeName)'")
    }
    return integer
  }
}

// MARK: What any value has

extension TemplateInterpreter {
  func attrFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let name = try text(of: try arguments.bound(to: ["name"], required: 1, function: "attr")[0] ?? .none)
    if case .undefined(let undefined) = value { throw undefined.problem }
    return ownAttribute(name, of: value)
      ?? .undefined(TemplateUndefined(.attribute(name, typeName: value.typeName)))
  }

  func defaultFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let values = try arguments.bound(to: ["default_value", "boolean"], function: "default")
    let replaces = value.isUndefined || values[1]?.isTrue == true && !value.isTrue
    return replaces ? values[0] ?? .string("") : value
  }

  func stringFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    try arguments.requireNone("string")
    return .string(try text(of: value))
  }

  func lengthFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    try arguments.requireNone("length")
    let count: Int
    switch value {
    case .undefined: count = 0
    case .string(let text):
      try produce(bytes: text.utf8.count)
      count = text.unicodeScalars.count
    case .list(let sequence), .tuple(let sequence): count = sequence.elements.count
    case .dictionary(let dictionary): count = dictionary.count
    case .range(let range): count = range.count
    case .view(let view): count = view.dictionary.count
    case .loop(let loop): count = loop.count
    default: throw .type("object of type '\(value.typeName)' has no len()")
    }
    return .integer(Int64(count))
  }

  func tojsonFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let values = try arguments.bound(
      to: ["ensure_ascii", "indent", "separators", "sort_keys"], function: "tojson")
    var format = JSONFormat.python
    format.escapesNonASCII = values[0]?.isTrue ?? false
    format.sortKeys = values[3]?.isTrue ?? false
    if let indent = values[1], !indent.isNone {
      format.itemSeparator = ","
      if case .string(let text) = indent {
        format.indent = text
      } else {
        let width = try integer(indent, default: 0, "tojson")
        if width > 64 { throw .value("tojson can't indent by more than 64 blanks") }
        format.indent = String(repeating: " ", count: Int(max(width, 0)))
      }
    }
    if let separators = values[2], !separators.isNone {
      let pair = try elements(of: separators)
      guard pair.count == 2, case .string(let item) = pair[0], case .string(let key) = pair[1] else {
        throw .type("tojson's separators must be two strings")
      }
      format.itemSeparator = item
      format.keySeparator = key
    }
    let tree = try json(value)
    try produce(bytes: tree.indentation(format))
    return try produced(tree.serialized(format))
  }

  /// Not one of Jinja's: a handful of published templates expect it of the engine.
  func fromJSONFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    try arguments.requireNone("from_json")
    guard case .string(let text) = value else {
      throw .type("from_json needs a string, not '\(value.typeName)'")
    }
    try produce(bytes: text.utf8.count)
    do {
      return TemplateValue(try JSONValue.parse(text))
    } catch {
      throw .value(error.description)
    }
  }
}

extension JSONValue {
  /// At least the bytes that separators and indentation will take: they multiply what a template holds.
  fileprivate func indentation(_ format: JSONFormat, depth: Int = 1) -> Int {
    let step = format.itemSeparator.utf8.count + format.keySeparator.utf8.count
    let line = (format.indent?.utf8.count ?? 0) * depth + step
    return switch self {
    case .array(let elements): elements.reduce(0) { $0 + line + $1.indentation(format, depth: depth + 1) }
    case .object(let members):
      members.reduce(0) { $0 + line + $1.value.indentation(format, depth: depth + 1) }
    default: 0
    }
  }
}
