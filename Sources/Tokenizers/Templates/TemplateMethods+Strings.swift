internal import JSON

extension TemplateInterpreter {
  /// `text.name(arguments)`
  func callString(
    _ name: String, _ text: String, _ arguments: TemplateArguments
  ) throws(TemplateProblem) -> TemplateValue {
    // All of them look at the whole text or make one like it.
    try produce(bytes: text.utf8.count)
    for argument in arguments.positional { try look(at: argument) }
    for argument in arguments.keywords { try look(at: argument.value) }
    switch name {
    case "format": return try produced(try formatted(text, braces: arguments))
    case "split", "rsplit": return try split(name, text, arguments)
    case "splitlines":
      let values = try arguments.bound(to: ["keepends"], function: name)
      return strings(text.splitPythonLines(keepingEnds: values[0]?.isTrue ?? false))
    case "strip", "lstrip", "rstrip":
      let values = try arguments.bound(to: ["chars"], positionalOnly: 1, function: name)
      let characters = try values[0].flatMap { value throws(TemplateProblem) in
        value.isNone ? nil : try string(value, name)
      }
      return .string(text.strippedPython(characters, start: name != "rstrip", end: name != "lstrip"))
    case "startswith", "endswith": return .bool(try hasAffix(name, text, arguments))
    case "replace": return try replace(text, arguments)
    case "find", "rfind", "index", "rindex", "count": return try search(name, text, arguments)
    case "join": return try join(text, arguments)
    case "partition", "rpartition":
      let separator = try onlyString(arguments, name)
      if separator.isEmpty { throw .value("empty separator") }
      let isFirst = name == "partition"
      guard let place = isFirst ? text.firstPlace(of: separator) : text.lastPlace(of: separator) else {
        return .tuple((isFirst ? [text, "", ""] : ["", "", text]).map { .string($0) })
      }
      let end = place + separator.utf8.count
      return .tuple([text.text(0..<place), separator, text.text(end..<text.utf8.count)].map { .string($0) })
    case "removeprefix":
      let prefix = try onlyString(arguments, name)
      return .string(
        text.utf8.starts(with: prefix.utf8) ? text.text(prefix.utf8.count..<text.utf8.count) : text)
    case "removesuffix":
      let suffix = try onlyString(arguments, name)
      let isSuffix = !suffix.isEmpty && text.utf8.reversed().starts(with: suffix.utf8.reversed())
      return .string(isSuffix ? text.text(0..<text.utf8.count - suffix.utf8.count) : text)
    case "center", "ljust", "rjust", "zfill", "expandtabs": return try pad(name, text, arguments)
    default:
      try arguments.requireNone(name)
      if let result = Self.recased(name, text) { return try produced(result) }
      return .bool(Self.satisfies(name, text))
    }
  }

  func strings(_ parts: [String]) -> TemplateValue { .list(parts.map { .string($0) }) }

  private func string(_ value: TemplateValue, _ function: String) throws(TemplateProblem) -> String {
    guard case .string(let text) = value else {
      throw .type("\(function)() needs a string, not '\(value.typeName)'")
    }
    return text
  }

  private func integer(_ value: TemplateValue, _ function: String) throws(TemplateProblem) -> Int64 {
    guard let integer = value.index else {
      throw .type("\(function)() needs a whole number, not '\(value.typeName)'")
    }
    return integer
  }

  private func onlyString(_ arguments: TemplateArguments, _ name: String) throws(TemplateProblem) -> String {
    let values = try arguments.bound(to: ["string"], required: 1, positionalOnly: 1, function: name)
    return try string(values[0] ?? .none, name)
  }

  private func split(
    _ name: String, _ text: String, _ arguments: TemplateArguments
  ) throws(TemplateProblem) -> TemplateValue {
    let values = try arguments.bound(to: ["sep", "maxsplit"], function: name)
    let limit = try values[1].map { value throws(TemplateProblem) in try integer(value, name) } ?? -1
    let isForward = name == "split"
    guard let separator = values[0], !separator.isNone else {
      return strings(
        isForward ? text.splitPythonWhitespace(limit: limit) : text.splitPythonWhitespaceFromEnd(limit: limit)
      )
    }
    let bytes = try string(separator, name)
    if bytes.isEmpty { throw .value("empty separator") }
    return strings(
      isForward ? text.splitPython(by: bytes, limit: limit) : text.splitPythonFromEnd(by: bytes, limit: limit)
    )
  }

  private func hasAffix(
    _ name: String, _ text: String, _ arguments: TemplateArguments
  ) throws(TemplateProblem) -> Bool {
    let values = try arguments.bound(
      to: ["prefix", "start", "end"], required: 1, positionalOnly: 3, function: name)
    var part = text
    if values.dropFirst().contains(where: { $0 != nil }) {
      let scalars = Array(text.unicodeScalars)
      if let start = values[1]?.index, start > scalars.count { return false }
      let range = try bounds(values.dropFirst(), count: scalars.count)
      part = String(String.UnicodeScalarView(scalars[range]))
    }
    var affixes = [values[0] ?? .none]
    if case .tuple(let sequence) = affixes[0] { affixes = sequence.elements }
    try step(affixes.count)
    for affix in affixes {
      let affix = try string(affix, name)
      let isMatch =
        name == "startswith"
        ? part.utf8.starts(with: affix.utf8) : part.utf8.reversed().starts(with: affix.utf8.reversed())
      if isMatch { return true }
    }
    return false
  }

  private func replace(_ text: String, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let values = try arguments.bound(
      to: ["old", "new", "count"], required: 2, positionalOnly: 3, function: "replace")
    let old = try string(values[0] ?? .none, "replace")
    let new = try string(values[1] ?? .none, "replace")
    let limit = try values[2].map { value throws(TemplateProblem) in try integer(value, "replace") } ?? -1
    return try replaced(text, old, new, limit: limit)
  }

  /// Counts the result before it is made: it can be as long as the product of both texts.
  func replaced(
    _ text: String, _ old: String, _ new: String, limit: Int64
  ) throws(TemplateProblem) -> TemplateValue {
    let occurrences = text.utf8.count / max(old.utf8.count, 1) + 1
    let (growth, overflow) = occurrences.multipliedReportingOverflow(by: new.utf8.count)
    // What can be in the result only if `old` is everywhere is counted exactly first.
    if overflow || growth > 1 << 20 {
      let count = old.isEmpty ? occurrences : text.splitPython(by: old, limit: limit).count
      let (exact, overflow) = count.multipliedReportingOverflow(by: new.utf8.count)
      try produce(bytes: overflow ? Int.max : exact)
    }
    return try produced(text.replacingPython(old, with: new, limit: limit))
  }

  private func search(
    _ name: String, _ text: String, _ arguments: TemplateArguments
  ) throws(TemplateProblem) -> TemplateValue {
    let values = try arguments.bound(
      to: ["sub", "start", "end"], required: 1, positionalOnly: 3, function: name)
    let wanted = try string(values[0] ?? .none, name)
    let scalars = Array(text.unicodeScalars)
    let range = try bounds(values.dropFirst(), count: scalars.count)
    let isBehindEnd = (values[1]?.index ?? 0) > scalars.count
    let part = String(String.UnicodeScalarView(scalars[range]))
    if name == "count" {
      if isBehindEnd { return .integer(0) }
      return .integer(
        Int64(wanted.isEmpty ? range.count + 1 : part.splitPython(by: wanted, limit: -1).count - 1))
    }
    let place = name.hasPrefix("r") ? part.lastPlace(of: wanted) : part.firstPlace(of: wanted)
    if let place, !isBehindEnd {
      return .integer(Int64(range.lowerBound + part.text(0..<place).unicodeScalars.count))
    }
    if name.hasSuffix("index") { throw .value("substring not found") }
    return .integer(-1)
  }

  private func join(_ separator: String, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let values = try arguments.bound(to: ["iterable"], required: 1, positionalOnly: 1, function: "join")
    var parts: [String] = []
    for element in try elements(of: values[0] ?? .none) { parts.append(try string(element, "join")) }
    return try joined(parts, separator)
  }

  func joined(_ parts: [String], _ separator: String) throws(TemplateProblem) -> TemplateValue {
    try produce(bytes: parts.reduce(parts.count * separator.utf8.count) { $0 + $1.utf8.count })
    return .string(parts.joined(separator: separator))
  }

  private func pad(
    _ name: String, _ text: String, _ arguments: TemplateArguments
  ) throws(TemplateProblem) -> TemplateValue {
    if name == "expandtabs" {
      let values = try arguments.bound(to: ["tabsize"], function: name)
      return try expandTabs(text, size: try integer(values[0] ?? .integer(8), name))
    }
    let names = name == "zfill" ? ["width"] : ["width", "fillchar"]
    let values = try arguments.bound(to: names, required: 1, positionalOnly: 2, function: name)
    let width = try integer(values[0] ?? .none, name)
    if name == "zfill" {
      let isSigned = text.hasPrefix("-") || text.hasPrefix("+")
      let (sign, digits) = isSigned ? (text.text(0..<1), text.text(1..<text.utf8.count)) : ("", text)
      return try padded(digits, to: max(width, 1) - (isSigned ? 1 : 0), "0", left: { $0 }, sign: sign)
    }
    var fill = " "
    if names.count == 2, let value = values[1] { fill = try string(value, name) }
    guard fill.unicodeScalars.count == 1 else {
      throw .type("the fill character must be exactly one character long")
    }
    return try padded(text, to: width, fill) { missing in
      switch name {
      case "ljust": 0
      case "rjust": missing
      // An odd blank goes left when the width is odd, as Python has it.
      default: missing / 2 + (missing & Int(width) & 1)
      }
    }
  }

  func padded(
    _ text: String, to width: Int64, _ fill: String, left: (Int) -> Int, sign: String = ""
  ) throws(TemplateProblem) -> TemplateValue {
    let missing = Int(width.subtractingReportingOverflow(Int64(text.unicodeScalars.count)).partialValue)
    guard width > 0, missing > 0 else { return .string(sign + text) }
    try produce(bytes: missing < Int.max / 8 ? missing * 4 : Int.max)
    let left = left(missing)
    return .string(
      sign + String(repeating: fill, count: left) + text + String(repeating: fill, count: missing - left))
  }

  private func expandTabs(_ text: String, size: Int64) throws(TemplateProblem) -> TemplateValue {
    var result = String.UnicodeScalarView()
    var column: Int64 = 0
    for scalar in text.unicodeScalars {
      if scalar == "\t" {
        let blanks = size > 0 ? size - column % size : 0
        try produce(bytes: Int(blanks))
        result.append(contentsOf: String(repeating: " ", count: Int(blanks)).unicodeScalars)
        column += blanks
      } else {
        result.append(scalar)
        column = scalar == "\n" || scalar == "\r" ? 0 : column + 1
      }
    }
    return .string(String(result))
  }
}

extension TemplateInterpreter {
  private static func recased(_ name: String, _ text: String) -> String? {
    switch name {
    case "upper": text.uppercased()
    case "lower": text.loweredPython()
    case "title": text.titledPython()
    case "capitalize": text.capitalizedPython()
    case "swapcase": text.swappedCasePython()
    default: nil
    }
  }

  private static func satisfies(_ name: String, _ text: String) -> Bool {
    let scalars = text.unicodeScalars
    switch name {
    case "isascii": return scalars.allSatisfy(\.isASCII)
    case "isprintable": return scalars.allSatisfy(PythonText.isPrintable)
    case "islower": return text.isLowerPython
    case "isupper": return text.isUpperPython
    case "istitle":
      return text.hasSameBytes(as: text.titledPython()) && scalars.contains { $0.properties.isCased }
    case "isidentifier":
      guard let first = scalars.first else { return false }
      return (first == "_" || first.properties.isXIDStart)
        && scalars.dropFirst().allSatisfy { $0.properties.isXIDContinue }
    default: return !text.isEmpty && scalars.allSatisfy { isInClass(name, $0) }
    }
  }

  private static func isInClass(_ name: String, _ scalar: Unicode.Scalar) -> Bool {
    let properties = scalar.properties
    return switch name {
    case "isspace": scalar.isPythonWhitespace
    case "isdecimal": properties.numericType == .decimal
    case "isdigit": properties.numericType == .decimal || properties.numericType == .digit
    case "isnumeric": properties.numericType != nil
    case "isalpha": scalar.isLetter
    case "isalnum": scalar.isLetter || properties.numericType != nil
    default: false
    }
  }
}

extension String {
  var isLowerPython: Bool {
    unicodeScalars.contains { $0.properties.isLowercase }
      && !unicodeScalars.contains {
        $0.properties.isUppercase || $0.properties.generalCategory == .titlecaseLetter
      }
  }

  var isUpperPython: Bool {
    unicodeScalars.contains { $0.properties.isUppercase }
      && !unicodeScalars.contains {
        $0.properties.isLowercase || $0.properties.generalCategory == .titlecaseLetter
      }
  }
}

extension Unicode.Scalar {
  fileprivate var isLetter: Bool {
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
    default: false
    }
  }
}
