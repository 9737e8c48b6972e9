internal import JSON

extension TemplateInterpreter {
  /// Python's `str(value)`; nothing for undefined values.
  func text(of value: TemplateValue) throws(TemplateProblem) -> String {
    switch value {
    case .string(let text):
      try produce(bytes: text.utf8.count)
      return text
    case .undefined: return ""
    case .macro, .function, .method, .loop, .iterator:
      // Python prints an address here.
      return "<\(value.typeName) object>"
    default:
      var text = ""
      try appendRepresentation(of: value, to: &text)
      return text
    }
  }

  /// Python's `repr(value)`.
  func representation(of value: TemplateValue) throws(TemplateProblem) -> String {
    var text = ""
    try appendRepresentation(of: value, to: &text)
    return text
  }

  private func appendRepresentation(of value: TemplateValue, to text: inout String) throws(TemplateProblem) {
    let before = text.utf8.count
    switch value {
    case .undefined: text += "Undefined"
    case .none: text += "None"
    case .bool(let value): text += value ? "True" : "False"
    case .integer(let value): text += String(value)
    case .float(let value): text += PythonNumbers.representation(of: value)
    case .string(let value): text += PythonText.quoted(value)
    case .list(let sequence): try append(sequence.elements, "[", "]", to: &text)
    case .tuple(let sequence):
      try append(sequence.elements, "(", sequence.elements.count == 1 ? ",)" : ")", to: &text)
    case .dictionary(let dictionary): try append(dictionary.keys, dictionary.values, to: &text)
    case .range(let range):
      text += "range(\(range.start), \(range.stop)\(range.step == 1 ? "" : ", \(range.step)"))"
    case .view(let view):
      text += "\(value.typeName)("
      try append(view.elements, "[", "]", to: &text)
      text += ")"
    case .namespace(let namespace):
      text += "<Namespace "
      let values = namespace.names.map { namespace.attributes[$0] ?? .none }
      try append(namespace.names.map { .string($0) }, values, to: &text)
      text += ">"
    case .macro, .function, .method, .loop, .iterator: text += "<\(value.typeName) object>"
    }
    try step()
    switch value {
    case .list, .tuple, .dictionary, .view, .namespace: break
    default: try produce(bytes: text.utf8.count - before)
    }
  }

  private func append(
    _ elements: [TemplateValue], _ open: String, _ close: String, to text: inout String
  ) throws(TemplateProblem) {
    text += open
    for (index, element) in elements.enumerated() {
      if index > 0 { text += ", " }
      try nestedInText { () throws(TemplateProblem) in try appendRepresentation(of: element, to: &text) }
    }
    text += close
  }

  private func append(
    _ keys: [TemplateValue], _ values: [TemplateValue], to text: inout String
  ) throws(TemplateProblem) {
    text += "{"
    for (index, (key, value)) in zip(keys, values).enumerated() {
      if index > 0 { text += ", " }
      try appendRepresentation(of: key, to: &text)
      text += ": "
      try nestedInText { () throws(TemplateProblem) in try appendRepresentation(of: value, to: &text) }
    }
    text += "}"
  }
}

extension TemplateInterpreter {
  /// The value as JSON has it; what Python's `json.dumps` refuses is refused.
  func json(_ value: TemplateValue) throws(TemplateProblem) -> JSONValue {
    try step()
    switch value {
    case .none: return .null
    case .bool(let value): return .bool(value)
    case .integer(let value): return .integer(value)
    case .float(let value): return .double(value)
    case .string(let text):
      try produce(bytes: text.utf8.count)
      return .string(text)
    case .list(let sequence), .tuple(let sequence):
      var elements: [JSONValue] = []
      elements.reserveCapacity(sequence.elements.count)
      for element in sequence.elements { elements.append(try json(element)) }
      return .array(elements)
    case .dictionary(let dictionary):
      var members = JSONObject()
      for (key, value) in zip(dictionary.keys, dictionary.values) {
        members[try jsonKey(key)] = try json(value)
      }
      return .object(members)
    default: throw .type("Object of type \(value.typeName) is not JSON serializable")
    }
  }

  private func jsonKey(_ key: TemplateValue) throws(TemplateProblem) -> String {
    switch key {
    case .string(let text): return text
    case .none: return "null"
    case .bool(let value): return value ? "true" : "false"
    case .integer, .float: return try text(of: key)
    default: throw .type("keys must be str, int, float, bool or None, not \(key.typeName)")
    }
  }
}
