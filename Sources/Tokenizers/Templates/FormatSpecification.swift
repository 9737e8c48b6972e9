internal import Glibc

/// Python's format mini-language: `[[fill]align][sign][#][0][width][,|_][.precision][type]`.
///
/// The `%` operator is turned into it, too.
struct FormatSpecification {
  var fill: Unicode.Scalar = " "
  /// `<`, `>`, `^` or `=` (blanks between sign and digits).
  var alignment: Unicode.Scalar?
  var sign: Unicode.Scalar = "-"
  var isAlternate = false
  var width = 0
  var grouping: Unicode.Scalar?
  var precision: Int?
  var type: Unicode.Scalar?

  /// More digits or blanks than any text needs are refused before they are made.
  static let maxSize = 10_000

  init() {}

  init(_ text: String) throws(TemplateProblem) {
    var scalars = text.unicodeScalars[...]
    func isAlignment(_ scalar: Unicode.Scalar?) -> Bool {
      scalar.map { "<>^=".unicodeScalars.contains($0) } ?? false
    }
    func next(_ isWanted: (Unicode.Scalar) -> Bool) -> Unicode.Scalar? {
      guard let first = scalars.first, isWanted(first) else { return nil }
      return scalars.removeFirst()
    }
    if isAlignment(scalars.dropFirst().first) {
      fill = scalars.removeFirst()
      alignment = scalars.removeFirst()
    } else if isAlignment(scalars.first) {
      alignment = scalars.removeFirst()
    }
    sign = next { "+- ".unicodeScalars.contains($0) } ?? "-"
    isAlternate = next { $0 == "#" } != nil
    if next({ $0 == "0" }) != nil, alignment == nil {
      fill = "0"
      alignment = "="
    }
    width = try Self.number(&scalars) ?? 0
    grouping = next { $0 == "," || $0 == "_" }
    if next({ $0 == "." }) != nil {
      guard let digits = try Self.number(&scalars) else { throw .value("Format specifier missing precision") }
      precision = digits
    }
    type = next { $0.isASCII }
    if !scalars.isEmpty { throw .value("Invalid format specifier") }
  }

  /// A run of digits; nil when there is none.
  static func number(_ scalars: inout Substring.UnicodeScalarView) throws(TemplateProblem) -> Int? {
    var value: Int?
    while let digit = scalars.first, ("0"..."9").contains(digit) {
      value = min((value ?? 0) * 10 + Int(digit.value - 0x30), maxSize + 1)
      scalars.removeFirst()
    }
    if let value, value > maxSize { throw .value("a width or precision exceeds \(maxSize)") }
    return value
  }
}

extension FormatSpecification {
  func formatted(text: String) throws(TemplateProblem) -> String {
    if let type, type != "s" { throw unknownType("str") }
    if sign != "-" || alignment == "=" || isAlternate || grouping != nil {
      throw .value("this format is for numbers, not for strings")
    }
    let kept = precision.map { String(String.UnicodeScalarView(text.unicodeScalars.prefix($0))) } ?? text
    return padded("", kept, defaultAlignment: "<")
  }

  func formatted(integer: Int64) throws(TemplateProblem) -> String {
    if let type, "eEfFgG%".unicodeScalars.contains(type) { return try formatted(float: Double(integer)) }
    if precision != nil { throw .value("Precision not allowed in integer format specifier") }
    let radices: [Unicode.Scalar: (radix: Int, prefix: String)] = [
      "b": (2, "0b"), "o": (8, "0o"), "x": (16, "0x"), "X": (16, "0X"), "d": (10, ""), "n": (10, ""),
    ]
    if type == "c" {
      guard let scalar = UInt32(exactly: integer).flatMap({ Unicode.Scalar($0) }) else {
        throw .value("%c arg not in range(0x110000)")
      }
      return padded("", String(scalar), defaultAlignment: "<")
    }
    guard let (radix, prefix) = radices[type ?? "d"] else { throw unknownType("int") }
    let digits = String(integer.magnitude, radix: radix, uppercase: type == "X")
    let start = signText(isNegative: integer < 0) + (isAlternate ? prefix : "")
    return padded(start, grouped(digits, every: radix == 10 ? 3 : 4), defaultAlignment: ">")
  }

  func formatted(float: Double) throws(TemplateProblem) -> String {
    let isPercent = type == "%"
    let magnitude = isPercent ? float.magnitude * 100 : float.magnitude
    var digits: String
    switch type {
    case nil where precision == nil: digits = PythonNumbers.representation(of: magnitude)
    case nil:
      digits = cText("g", magnitude, precision ?? 6)
      if magnitude.isFinite, !digits.contains(where: { $0 == "." || $0 == "e" }) { digits += ".0" }
    case "n": digits = cText("g", magnitude, precision ?? 6)
    case "e", "E", "f", "F", "g", "G": digits = cText(type ?? "f", magnitude, precision ?? 6)
    case "%": digits = cText("f", magnitude, precision ?? 6) + "%"
    default: throw unknownType("float")
    }
    let whole = digits.prefix { ("0"..."9").contains($0) }
    if grouping != nil { digits = grouped(String(whole), every: 3) + digits.dropFirst(whole.count) }
    let isNegative = float.sign == .minus && !float.isNaN
    return padded(signText(isNegative: isNegative), digits, defaultAlignment: ">")
  }

  private func unknownType(_ typeName: String) -> TemplateProblem {
    .value("Unknown format code '\(type.map { String($0) } ?? "")' for object of type '\(typeName)'")
  }

  private func signText(isNegative: Bool) -> String {
    isNegative ? "-" : sign == "-" ? "" : String(sign)
  }

  private func cText(_ type: Unicode.Scalar, _ value: Double, _ precision: Int) -> String {
    var text = [CChar](repeating: 0, count: 400 + precision)
    let count = unsafe withVaList([Int32(clamping: precision), value]) { arguments in
      unsafe vsnprintf(&text, text.count, "%\(isAlternate ? "#" : "").*\(type)", arguments)
    }
    return String(decoding: text.prefix(Int(max(count, 0))).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Digits in groups, counted from the right; leading zeros that fill the width are grouped with them.
  private func grouped(_ digits: String, every size: Int) -> String {
    guard let grouping else { return digits }
    var result = ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.utf8.count - index) % size == 0 { result.unicodeScalars.append(grouping) }
      result.append(digit)
    }
    return result
  }

  private func padded(_ start: String, _ body: String, defaultAlignment: Unicode.Scalar) -> String {
    let missing = max(0, width - start.unicodeScalars.count - body.unicodeScalars.count)
    func blanks(_ count: Int) -> String { String(repeating: String(fill), count: count) }
    return switch alignment ?? defaultAlignment {
    case "<": start + body + blanks(missing)
    case "^": blanks(missing / 2) + start + body + blanks(missing - missing / 2)
    case "=": start + blanks(missing) + body
    default: blanks(missing) + start + body
    }
  }
}
