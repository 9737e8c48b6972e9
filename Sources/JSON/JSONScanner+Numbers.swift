/// A number as it was written: whole numbers keep all their digits.
package enum JSONNumber: Sendable, Equatable {
  case integer(Int64)
  case double(Double)
}

extension JSONScanner {
  /// A number without fraction and exponent that fits is an integer; any other is the nearest double.
  package mutating func number() throws(JSONError) -> JSONNumber {
    try require(.number)
    let start = position
    let literal = try numberLiteral()
    if let integer = literal.integer { return .integer(integer) }
    if let double = literal.exactDouble { return .double(double) }
    // The standard library's conversion is correctly rounded, but knows infinity, which JSON doesn't.
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    guard let double = Double(text), double.isFinite else { throw error(.numberOutOfRange, at: start) }
    return .double(double)
  }

  /// A whole number that fits; `2.0` and `1e3` are whole.
  package mutating func int() throws(JSONError) -> Int {
    try require(.number)
    let start = position
    let value: Int? =
      switch try number() {
      case .integer(let integer): Int(exactly: integer)
      case .double(let double): Int(exactly: double)
      }
    guard let value else { throw error(.numberOutOfRange, at: start) }
    return value
  }

  package mutating func double() throws(JSONError) -> Double {
    switch try number() {
    case .integer(let integer): Double(integer)
    case .double(let double): double
    }
  }

  /// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
  private mutating func numberLiteral() throws(JSONError) -> NumberLiteral {
    var literal = NumberLiteral()
    literal.isNegative = consumeIfNext(UInt8(ascii: "-"))
    if consumeIfNext(UInt8(ascii: "0")) {
      if digit != nil { throw error(.invalidNumber) }
    } else {
      try requireDigit()
      while let digit {
        literal.append(digit)
        position += 1
      }
    }
    if consumeIfNext(UInt8(ascii: ".")) {
      literal.isWhole = false
      try requireDigit()
      while let digit {
        literal.append(digit)
        literal.exponent -= 1
        position += 1
      }
    }
    if consumeIfNext(UInt8(ascii: "e")) || consumeIfNext(UInt8(ascii: "E")) {
      literal.isWhole = false
      literal.exponent += try exponent()
    }
    return literal
  }

  private mutating func exponent() throws(JSONError) -> Int {
    let isNegative = consumeIfNext(UInt8(ascii: "-"))
    if !isNegative { _ = consumeIfNext(UInt8(ascii: "+")) }
    try requireDigit()
    var exponent = 0
    while let digit {
      // Only `exactDouble` reads it, for which all exponents this large are alike.
      exponent = min(exponent * 10 + Int(digit), 1 << 32)
      position += 1
    }
    return isNegative ? -exponent : exponent
  }

  private var digit: UInt8? {
    guard position < bytes.count else { return nil }
    let digit = bytes[position] &- UInt8(ascii: "0")
    return digit < 10 ? digit : nil
  }

  private func requireDigit() throws(JSONError) {
    if digit == nil { throw error(position < bytes.count ? .invalidNumber : .unexpectedEnd) }
  }

  private mutating func consumeIfNext(_ byte: UInt8) -> Bool {
    guard position < bytes.count, bytes[position] == byte else { return false }
    position += 1
    return true
  }
}

/// A number's text taken apart: ± digits × 10^exponent.
private struct NumberLiteral {
  var isNegative = false
  var isWhole = true
  var exponent = 0
  /// All digits without the point; nil once they exceed 64 bits.
  var digits: UInt64? = 0

  mutating func append(_ digit: UInt8) {
    guard let before = digits else { return }
    let (shifted, overflow) = before.multipliedReportingOverflow(by: 10)
    let (sum, carry) = shifted.addingReportingOverflow(UInt64(digit))
    digits = overflow || carry ? nil : sum
  }

  var integer: Int64? {
    guard isWhole, let digits else { return nil }
    if !isNegative { return Int64(exactly: digits) }
    return digits <= Int64.min.magnitude ? Int64(truncatingIfNeeded: 0 &- digits) : nil
  }

  /// Digits and power are both exact doubles, so that one operation rounds once, correctly (Clinger 1990).
  var exactDouble: Double? {
    guard let digits, digits <= 1 << 53, abs(exponent) < Self.exactPowers.count else { return nil }
    let power = Self.exactPowers[abs(exponent)]
    let magnitude = exponent < 0 ? Double(digits) / power : Double(digits) * power
    return isNegative ? -magnitude : magnitude
  }

  private static let exactPowers: [Double] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
  ]
}
