internal import JSON

/// A number as the digits that spell it, for comparing numerals without rounding.
struct DecimalNumber: Sendable, Equatable {
  var isNegative: Bool
  /// In front of the point, without leading zeros; at least one.
  var whole: [UInt8]
  /// Behind the point, without trailing zeros.
  var fraction: [UInt8]

  var isZero: Bool { whole == [0] && fraction.isEmpty }

  var magnitude: DecimalNumber { DecimalNumber(isNegative: false, whole: whole, fraction: fraction) }

  init(isNegative: Bool, whole: [UInt8], fraction: [UInt8]) {
    let leading = whole.prefix { $0 == 0 }.count
    self.whole = leading == whole.count ? [0] : Array(whole[leading...])
    var fraction = fraction
    while fraction.last == 0 { fraction.removeLast() }
    self.fraction = fraction
    self.isNegative = isNegative && !(self.whole == [0] && fraction.isEmpty)
  }

  /// The shortest digits of a JSON number; nil for anything else.
  init?(_ value: JSONValue) {
    let text: String
    switch value {
    case .integer(let number): text = String(number)
    case .double(let number) where number.isFinite: text = number.description
    default: return nil
    }
    let parts = text.split(separator: "e", maxSplits: 1)
    let mantissa = parts[0].drop { $0 == "-" }.split(separator: ".", maxSplits: 1)
    let digits = { (text: Substring) in text.utf8.map { $0 - 0x30 } }
    var whole = digits(mantissa[0])
    var fraction = mantissa.count > 1 ? digits(mantissa[1]) : []
    var exponent = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
    while exponent > 0 {
      whole.append(fraction.isEmpty ? 0 : fraction.removeFirst())
      exponent -= 1
    }
    while exponent < 0 {
      fraction.insert(whole.popLast() ?? 0, at: 0)
      exponent += 1
    }
    self.init(isNegative: text.hasPrefix("-"), whole: whole, fraction: fraction)
  }
}

extension DecimalNumber: Comparable {
  static func < (a: DecimalNumber, b: DecimalNumber) -> Bool {
    if a.isNegative != b.isNegative { return a.isNegative }
    return a.isNegative ? isSmaller(b, a) : isSmaller(a, b)
  }

  private static func isSmaller(_ a: DecimalNumber, _ b: DecimalNumber) -> Bool {
    if a.whole.count != b.whole.count { return a.whole.count < b.whole.count }
    if a.whole != b.whole { return a.whole.lexicographicallyPrecedes(b.whole) }
    return a.fraction.lexicographicallyPrecedes(b.fraction)
  }
}
