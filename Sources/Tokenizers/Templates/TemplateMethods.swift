/// The methods that values have, by the type's name.
///
/// Methods that change a list or dictionary exist too, but Hugging Face's sandbox forbids them.
enum TemplateMethods {
  static let names: [String: (safe: Set<String>, unsafe: Set<String>)] = [
    "str": (
      [
        "capitalize", "center", "count", "endswith", "expandtabs", "find", "format", "index",
        "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier", "islower", "isnumeric",
        "isprintable", "isspace", "istitle", "isupper", "join", "ljust", "lower", "lstrip", "partition",
        "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rjust", "rpartition", "rsplit",
        "rstrip",
        "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper", "zfill",
      ], []
    ),
    "list": (
      ["copy", "count", "index"],
      ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"]
    ),
    "tuple": (["count", "index"], []),
    "range": (["count", "index"], []),
    "dict": (
      ["copy", "get", "items", "keys", "values"], ["clear", "pop", "popitem", "setdefault", "update"]
    ),
    "float": (["is_integer"], []),
  ]
}

extension TemplateInterpreter {
  func call(_ method: TemplateMethod, _ arguments: TemplateArguments) throws(TemplateProblem) -> TemplateValue
  {
    switch method.receiver {
    case .string(let text): return try callString(method.name, text, arguments)
    case .list(let sequence), .tuple(let sequence):
      return try callSequence(method.name, method.receiver, sequence.elements, arguments)
    case .range(let range): return try callSequence(method.name, method.receiver, range.elements, arguments)
    case .dictionary(let dictionary): return try callDictionary(method.name, dictionary, arguments)
    case .loop(let loop): return try callLoop(method.name, loop, arguments)
    case .float(let value):
      try arguments.requireNone(method.name)
      return .bool(value.isFinite && value == value.rounded())
    default: throw .type("'\(method.receiver.typeName)' object has no method '\(method.name)'")
    }
  }

  private func callSequence(
    _ name: String, _ receiver: TemplateValue, _ elements: [TemplateValue], _ arguments: TemplateArguments
  ) throws(TemplateProblem) -> TemplateValue {
    if name == "copy" {
      try arguments.requireNone(name)
      return receiver
    }
    let names = name == "index" ? ["value", "start", "stop"] : ["value"]
    let values = try arguments.bound(to: names, required: 1, positionalOnly: 3, function: name)
    let wanted = values[0] ?? .none
    if name == "count" {
      var count: Int64 = 0
      for element in elements where try isEqual(element, wanted) { count += 1 }
      return .integer(count)
    }
    let range = try bounds(values.dropFirst(), count: elements.count)
    for place in range where try isEqual(elements[place], wanted) { return .integer(Int64(place)) }
    throw .value("\(try representation(of: wanted)) is not in \(receiver.typeName)")
  }

  /// The range from `start` to `stop`, as Python's search methods take them.
  func bounds(_ bounds: ArraySlice<TemplateValue?>, count: Int) throws(TemplateProblem) -> Range<Int> {
    var places = [0, count]
    for (index, bound) in bounds.enumerated() {
      guard let bound, !bound.isNone else { continue }
      guard let value = bound.index else {
        throw .type("slice indices must be integers or None, not \(bound.typeName)")
      }
      places[index] = value < 0 ? max(0, Int(value) + count) : Int(value)
    }
    // A start behind the end finds nothing, not even the empty string.
    guard places[0] <= count else { return count..<count }
    return places[0]..<max(places[0], min(places[1], count))
  }

  private func callDictionary(
    _ name: String, _ dictionary: TemplateDictionary, _ arguments: TemplateArguments
  ) throws(TemplateProblem) -> TemplateValue {
    if name == "get" {
      let values = try arguments.bound(
        to: ["key", "default"], required: 1, positionalOnly: 2, function: name)
      try look(at: values[0] ?? .none)
      return try dictionary.value(for: values[0] ?? .none) ?? values[1] ?? .none
    }
    try arguments.requireNone(name)
    if name == "copy" { return .dictionary(dictionary) }
    guard let kind = TemplateView.Kind(rawValue: name) else {
      throw .type("'dict' object has no method '\(name)'")
    }
    return .view(TemplateView(kind: kind, dictionary: dictionary))
  }

  private func callLoop(
    _ name: String, _ loop: TemplateLoop, _ arguments: TemplateArguments
  ) throws(TemplateProblem) -> TemplateValue {
    guard arguments.keywords.isEmpty else { throw .type("\(name)() takes no keyword arguments") }
    if name == "cycle" {
      if arguments.positional.isEmpty { throw .type("no items for cycling given") }
      return arguments.positional[loop.index % arguments.positional.count]
    }
    var isChanged = true
    if let last = loop.lastChanged { isChanged = try !isEqual(.tuple(last), .tuple(arguments.positional)) }
    loop.lastChanged = arguments.positional
    return .bool(isChanged)
  }
}
