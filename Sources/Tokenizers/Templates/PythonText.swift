internal import JSON

/// How Python writes strings and numbers.
enum PythonText {
  /// `repr(text)`: in single quotes unless only double ones avoid escapes; what can't be printed is escaped.
  static func quoted(_ text: String) -> String {
    let scalars = text.unicodeScalars
    let quote: Unicode.Scalar = scalars.contains("'") && !scalars.contains("\"") ? "\"" : "'"
    var result = String.UnicodeScalarView([quote])
    for scalar in scalars {
      switch scalar {
      case quote, "\\": result.append(contentsOf: ["\\", scalar])
      case "\n": result.append(contentsOf: "\\n".unicodeScalars)
      case "\r": result.append(contentsOf: "\\r".unicodeScalars)
      case "\t": result.append(contentsOf: "\\t".unicodeScalars)
      case _ where isPrintable(scalar): result.append(scalar)
      default:
        let (letter, width) = scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
        let digits = String(scalar.value, radix: 16)
        let zeros = String(repeating: "0", count: width - digits.utf8.count)
        result.append(contentsOf: "\\\(letter)\(zeros)\(digits)".unicodeScalars)
      }
    }
    result.append(quote)
    return String(result)
  }

  /// `str.isprintable` of one character.
  static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
    case .spaceSeparator: scalar == " "
    default: true
    }
  }
}

enum PythonNumbers {
  /// `repr(value)`: the shortest digits that read back as the same value.
  static func representation(of value: Double) -> String {
    if value.isNaN { return "nan" }
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    return JSONValue.double(value).serialized()
  }

  /// `int(text, base)`: blanks around, a sign, single underscores between digits; base 0 is told by a prefix.
  static func integer(_ text: String, base: Int64 = 10) throws(TemplateProblem) -> Int64? {
    guard base == 0 || (2...36).contains(base) else {
      throw .value("int() base must be >= 2 and <= 36, or 0")
    }
    var digits = Substring(text).trimmingPrefix(where: \.isPythonWhitespace)
      .trimmingSuffix(where: \.isPythonWhitespace)
    var sign = ""
    if let first = digits.first, first == "-" || first == "+" {
      sign = first == "-" ? "-" : ""
      digits.removeFirst()
    }
    var radix = Int(base)
    let prefixes: [(text: String, radix: Int)] = [("0x", 16), ("0o", 8), ("0b", 2)]
    for prefix in prefixes where base == 0 || base == prefix.radix {
      if digits.lowercased().hasPrefix(prefix.text) {
        digits = digits.dropFirst(2)
        if digits.first == "_" { digits.removeFirst() }
        radix = prefix.radix
      }
    }
    let isDecimalByDefault = radix == 0
    if isDecimalByDefault { radix = 10 }
    guard let plain = withoutUnderscores(digits), plain.first != "+", plain.first != "-" else { return nil }
    if isDecimalByDefault, plain.hasPrefix("0"), plain.contains(where: { $0 != "0" }) { return nil }
    if let value = Int64(sign + plain, radix: radix) { return value }
    // All digits, but too many of them.
    if !plain.isEmpty, plain.allSatisfy({ $0.isASCII && Int(String($0), radix: radix) != nil }) {
      throw .integerOverflow
    }
    return nil
  }

  /// `float(text)`; nil for what it does not read.
  static func float(_ text: String) -> Double? {
    let trimmed = Substring(text).trimmingPrefix(where: \.isPythonWhitespace)
      .trimmingSuffix(where: \.isPythonWhitespace)
    guard let plain = withoutUnderscores(trimmed) else { return nil }
    switch plain.lowercased().trimmingPrefix(where: { $0 == "+" || $0 == "-" }) {
    case "inf", "infinity": return plain.hasPrefix("-") ? -.infinity : .infinity
    case "nan": return .nan
    default:
      // Swift's conversion also reads hexadecimal, which Python's does not.
      guard plain.utf8.allSatisfy({ ($0 | 0x20) == UInt8(ascii: "e") || $0 < UInt8(ascii: ":") }) else {
        return nil
      }
      return plain.hasSuffix(".")
        ? Double(plain + "0") : plain.hasPrefix(".") ? Double("0" + plain) : Double(plain)
    }
  }

  /// Underscores may stand between two digits only.
  private static func withoutUnderscores(_ text: Substring) -> String? {
    guard text.utf8.contains(UInt8(ascii: "_")) else { return String(text) }
    var previous: Character?
    var result = ""
    for character in text {
      if character == "_" {
        guard let previous, previous.isHexDigit || previous.isLetter else { return nil }
      } else {
        if previous == "_", !(character.isHexDigit || character.isLetter) { return nil }
        result.append(character)
      }
      previous = character
    }
    return previous == "_" ? nil : result
  }
}
