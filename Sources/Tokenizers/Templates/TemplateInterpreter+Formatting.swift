extension TemplateInterpreter {
  /// `format % arguments`
  func formatted(_ format: String, percent arguments: TemplateValue) throws(TemplateProblem) -> TemplateValue
  {
    var cursor = PercentArguments(arguments)
    var result = ""
    var scalars = format.unicodeScalars[...]
    while let scalar = scalars.popFirst() {
      if scalar == "%" {
        let piece = try percentPiece(&scalars, &cursor)
        try produce(bytes: piece.utf8.count)
        result += piece
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
    if !cursor.isUsedUp { throw .type("not all arguments converted during string formatting") }
    return try produced(result)
  }

  /// The text of one conversion, from behind its `%`.
  private func percentPiece(
    _ scalars: inout Substring.UnicodeScalarView, _ arguments: inout PercentArguments
  ) throws(TemplateProblem) -> String {
    var key: String?
    if scalars.first == "(" {
      guard let close = scalars.firstIndex(of: ")") else { throw .value("incomplete format key") }
      key = String(scalars[scalars.index(after: scalars.startIndex)..<close])
      scalars = scalars[scalars.index(after: close)...]
    }
    var specification = FormatSpecification()
    specification.alignment = ">"
    var isZeroPadded = false
    while let flag = scalars.first, "-+ 0#".unicodeScalars.contains(flag) {
      scalars.removeFirst()
      switch flag {
      case "-": specification.alignment = "<"
      case "0": isZeroPadded = true
      case "#": specification.isAlternate = true
      case "+": specification.sign = "+"
      default: if specification.sign != "+" { specification.sign = " " }
      }
    }
    if let width = try size(&scalars, &arguments) {
      specification.width = min(abs(width), FormatSpecification.maxSize)
      if width < 0 { specification.alignment = "<" }
    }
    if scalars.first == "." {
      scalars.removeFirst()
      specification.precision = max(0, try size(&scalars, &arguments) ?? 0)
    }
    while let size = scalars.first, "hlL".unicodeScalars.contains(size) { scalars.removeFirst() }
    guard let type = scalars.popFirst() else { throw .value("incomplete format") }
    if type == "%" { return "%" }
    let value = if let key { try arguments.value(key) } else { try arguments.next() }
    specification.type = type
    if isZeroPadded, specification.alignment == ">", !"srac".unicodeScalars.contains(type) {
      specification.alignment = "="
      specification.fill = "0"
    }
    return try converted(value, specification)
  }

  private func size(
    _ scalars: inout Substring.UnicodeScalarView, _ arguments: inout PercentArguments
  ) throws(TemplateProblem) -> Int? {
    guard scalars.first == "*" else { return try FormatSpecification.number(&scalars) }
    scalars.removeFirst()
    guard case .integer(let value) = try arguments.next() else { throw .type("* wants int") }
    guard abs(Double(value)) <= Double(FormatSpecification.maxSize) else {
      throw .value("a width or precision exceeds \(FormatSpecification.maxSize)")
    }
    return Int(value)
  }

  private func converted(
    _ value: TemplateValue, _ conversion: FormatSpecification
  ) throws(TemplateProblem) -> String {
    var specification = conversion
    switch conversion.type {
    case "s", "r", "a":
      specification.type = nil
      specification.sign = "-"
      specification.isAlternate = false
      let text = conversion.type == "s" ? try text(of: value) : try representation(of: value)
      return try specification.formatted(text: text)
    case "d", "i", "u", "x", "X", "o":
      if let type = conversion.type, "iu".unicodeScalars.contains(type) { specification.type = "d" }
      var number = value.index
      if number == nil, case .float(let float) = value, specification.type == "d" {
        guard let whole = Int64(exactly: float.rounded(.towardZero)) else { throw .integerOverflow }
        number = whole
      }
      if case .undefined(let undefined) = value { throw undefined.problem }
      guard let number else {
        throw .type("%\(conversion.type ?? "d") format: a number is required, not \(value.typeName)")
      }
      // Here a precision is the least number of digits.
      let digits = String(number.magnitude, radix: 10).utf8.count
      if let precision = conversion.precision, precision > digits, specification.type == "d" {
        specification.precision = nil
        specification.fill = "0"
        specification.alignment = "="
        let width = precision + (number < 0 || specification.sign != "-" ? 1 : 0)
        let start = specification.width
        specification.width = width
        let text = try specification.formatted(integer: number)
        var outer = FormatSpecification()
        outer.alignment = conversion.alignment == "=" ? ">" : conversion.alignment
        outer.width = start
        return try outer.formatted(text: text)
      }
      specification.precision = nil
      return try specification.formatted(integer: number)
    case "e", "E", "f", "F", "g", "G":
      if case .undefined(let undefined) = value { throw undefined.problem }
      guard let number = value.double else { throw .type("must be real number, not \(value.typeName)") }
      return try specification.formatted(float: number)
    case "c":
      specification.type = nil
      if case .string(let text) = value, text.unicodeScalars.count == 1 {
        return try specification.formatted(text: text)
      }
      guard let number = value.index, let scalar = UInt32(exactly: number).flatMap({ Unicode.Scalar($0) })
      else {
        throw .type("%c requires int or char")
      }
      return try specification.formatted(text: String(scalar))
    default: throw .value("unsupported format character '\(conversion.type.map { String($0) } ?? "")'")
    }
  }

  /// `format.format(arguments)`
  func formatted(_ format: String, braces arguments: TemplateArguments) throws(TemplateProblem) -> String {
    var numbering = BraceNumbering()
    return try formatted(format, arguments, &numbering, depth: 2)
  }

  private func formatted(
    _ format: String, _ arguments: TemplateArguments, _ numbering: inout BraceNumbering, depth: Int
  ) throws(TemplateProblem) -> String {
    if depth < 0 { throw .value("Max string recursion exceeded") }
    var result = ""
    var scalars = format.unicodeScalars[...]
    while let scalar = scalars.popFirst() {
      switch scalar {
      case "{" where scalars.first == "{", "}" where scalars.first == "}":
        scalars.removeFirst()
        result.unicodeScalars.append(scalar)
      case "}": throw .value("Single '}' encountered in format string")
      case "{":
        let field = try BraceField(&scalars)
        var value = try lookUp(field, arguments, &numbering)
        switch field.conversion {
        case nil: break
        case "s": value = .string(try text(of: value))
        case "r", "a": value = .string(try representation(of: value))
        case .some(let other): throw .value("Unknown conversion specifier '\(other)'")
        }
        let specification = try formatted(field.specification, arguments, &numbering, depth: depth - 1)
        let piece = try formatted(value, specification)
        try produce(bytes: piece.utf8.count)
        result += piece
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  private func lookUp(
    _ field: BraceField, _ arguments: TemplateArguments, _ numbering: inout BraceNumbering
  ) throws(TemplateProblem) -> TemplateValue {
    var value: TemplateValue
    if let place = try numbering.place(of: field.name) {
      guard arguments.positional.indices.contains(place) else {
        throw .value("Replacement index \(place) out of range for positional args tuple")
      }
      value = arguments.positional[place]
    } else {
      guard let keyword = arguments.keyword(field.name) else { throw .value("missing key '\(field.name)'") }
      value = keyword
    }
    for step in field.path {
      switch step {
      case .attribute(let name): value = try attribute(name, of: value)
      case .item(let name):
        let isPlace = name.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        let place = isPlace ? Int64(name) : nil
        value = try item(place.map { .integer($0) } ?? .string(name), of: value)
      }
    }
    return value
  }

  /// `format(value, specification)`
  private func formatted(_ value: TemplateValue, _ specification: String) throws(TemplateProblem) -> String {
    if specification.isEmpty { return try text(of: value) }
    let parsed = try FormatSpecification(specification)
    switch value {
    case .string(let text): return try parsed.formatted(text: text)
    case .integer(let integer): return try parsed.formatted(integer: integer)
    case .bool(let bool):
      return try parsed.formatted(integer: bool ? 1 : 0)
    case .float(let float): return try parsed.formatted(float: float)
    default: throw .type("unsupported format string passed to \(value.typeName).__format__")
    }
  }
}
