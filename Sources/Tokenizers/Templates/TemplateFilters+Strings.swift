internal import JSON

extension TemplateInterpreter {
  func upperFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    try arguments.requireNone("upper")
    return try produced(try text(of: value).uppercased())
  }

  func lowerFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    try arguments.requireNone("lower")
    return try produced(try text(of: value).loweredPython())
  }

  func capitalizeFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    try arguments.requireNone("capitalize")
    return try produced(try text(of: value).capitalizedPython())
  }

  /// Unlike `str.title` it starts words only behind blanks and opening brackets.
  func titleFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    try arguments.requireNone("title")
    var result = ""
    var word = String.UnicodeScalarView()
    func finishWord() {
      if let first = word.first {
        result += first.properties.uppercaseMapping + String(word.dropFirst()).loweredPython()
      }
      word = String.UnicodeScalarView()
    }
    for scalar in try text(of: value).unicodeScalars {
      if scalar.isPythonWhitespace || "-({[<".unicodeScalars.contains(scalar) {
        finishWord()
        result.unicodeScalars.append(scalar)
      } else {
        word.append(scalar)
      }
    }
    finishWord()
    return try produced(result)
  }

  func trimFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let characters = try arguments.bound(to: ["chars"], function: "trim")[0]
    let text = try text(of: value)
    guard let characters, !characters.isNone else { return try produced(text.strippedPython(nil)) }
    guard case .string(let set) = characters else { throw .type("strip arg must be None or str") }
    try produce(bytes: set.utf8.count)
    return try produced(text.strippedPython(set))
  }

  func centerFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let width = try integer(try arguments.bound(to: ["width"], function: "center")[0], default: 80, "center")
    return try padded(try text(of: value), to: width, " ") { $0 / 2 + ($0 & Int(width) & 1) }
  }

  func replaceFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let values = try arguments.bound(to: ["old", "new", "count"], required: 2, function: "replace")
    var limit: Int64 = -1
    if let count = values[2], !count.isNone { limit = try integer(count, default: -1, "replace") }
    let (old, new) = (try text(of: values[0] ?? .none), try text(of: values[1] ?? .none))
    return try replaced(try text(of: value), old, new, limit: limit)
  }

  func formatFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    if arguments.keywords.isEmpty {
      return try formatted(try text(of: value), percent: .tuple(arguments.positional))
    }
    guard arguments.positional.isEmpty else {
      throw .type("can't handle positional and keyword arguments at the same time")
    }
    let pairs = arguments.keywords.map { (key: TemplateValue.string($0.name), value: $0.value) }
    return try formatted(try text(of: value), percent: .dictionary(try TemplateDictionary(pairs)))
  }

  func escapeFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    try arguments.requireNone("escape")
    var result = ""
    for scalar in try text(of: value).unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "'": result += "&#39;"
      case "\"": result += "&#34;"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return try produced(result)
  }

  func indentFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let values = try arguments.bound(to: ["width", "first", "blank"], function: "indent")
    if case .undefined(let undefined) = value { throw undefined.problem }
    guard case .string(let text) = value else {
      throw .type("indent needs a string, not '\(value.typeName)'")
    }
    let indentation: String
    if case .string(let text) = values[0] {
      indentation = text
    } else {
      let width = try integer(values[0], default: 4, "indent")
      try produce(bytes: Int(max(width, 0)))
      indentation = String(repeating: " ", count: Int(max(width, 0)))
    }
    let indentsBlankLines = values[2]?.isTrue ?? false
    let lines = (text + "\n").splitPythonLines(keepingEnds: false)
    try produce(bytes: text.utf8.count)
    var result = values[1]?.isTrue == true ? indentation : ""
    for (index, line) in lines.enumerated() {
      if index > 0 { result += "\n" }
      if index > 0, indentsBlankLines || !line.isEmpty {
        try produce(bytes: indentation.utf8.count)
        result += indentation
      }
      result += line
    }
    return .string(result)
  }

  func truncateFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let values = try arguments.bound(to: ["length", "killwords", "end", "leeway"], function: "truncate")
    let count = try lengthFilter(value, TemplateArguments()).index ?? 0
    let length = try integer(values[0], default: 255, "truncate")
    let leeway = try integer(values[3].flatMap { $0.isNone ? nil : $0 }, default: 5, "truncate")
    var end = "..."
    if let value = values[2] { end = try self.text(of: value) }
    guard length >= end.unicodeScalars.count, leeway >= 0 else {
      throw .value("truncate's length must not be less than that of its end")
    }
    if length.addingReportingOverflow(leeway).overflow || count <= length + leeway { return value }
    guard case .string(let text) = value else {
      throw .type("truncate needs a string, not '\(value.typeName)'")
    }
    let scalars = Array(text.unicodeScalars)
    let kept = String(String.UnicodeScalarView(scalars.prefix(Int(length) - end.unicodeScalars.count)))
    if values[1]?.isTrue == true { return try produced(kept + end) }
    return try produced((kept.splitPythonFromEnd(by: " ", limit: 1).first ?? "") + end)
  }

  func wordcountFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    try arguments.requireNone("wordcount")
    var count: Int64 = 0
    var isInWord = false
    for scalar in try text(of: value).unicodeScalars {
      let isWordPart = scalar == "_" || scalar.properties.isAlphabetic || scalar.properties.numericType != nil
      if isWordPart, !isInWord { count += 1 }
      isInWord = isWordPart
    }
    return .integer(count)
  }

  /// Python's `str.join` over the texts of anything.
  func joinFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let values = try arguments.bound(to: ["d", "attribute"], function: "join")
    let key = try attributeGetter(values[1])
    var parts: [String] = []
    for element in try elements(of: value) { parts.append(try text(of: try key(element))) }
    return try joined(parts, try text(of: values[0] ?? .string("")))
  }
}
