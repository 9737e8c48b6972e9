/// Numerals of JSON within bounds, as expressions over digits.
///
/// Numerals are kept to lengths that a double, or a 64-bit integer, tells apart: a bound that holds for the digits then
/// holds for the number that is read.
struct NumberLanguage {
  /// Digits in front of the point.
  var wholeDigits: Int
  /// Digits behind the point; 0 writes no point.
  var fractionDigits: Int

  /// Whole numbers that fit 64 bits.
  static let integer = NumberLanguage(wholeDigits: 18, fractionDigits: 0)
  /// 15 significant digits are told apart by a double.
  static let number = NumberLanguage(wholeDigits: 15, fractionDigits: 15)
  static let boundedNumber = NumberLanguage(wholeDigits: 9, fractionDigits: 6)

  /// All numerals; fractions with an exponent of up to two digits.
  var all: Expression {
    .sequence([
      Self.optional(.text("-")), magnitudes,
      fractionDigits == 0
        ? .empty
        : Self.optional(
          .sequence([
            .choice([.text("e"), .text("E")]), Self.optional(.choice([.text("+"), .text("-")])),
            .repeated(Self.digit(0, 9), minimum: 1, maximum: 2),
          ])),
    ])
  }

  func atLeast(_ bound: SchemaConstraints.Bound) -> Expression {
    if bound.value.isNegative {
      return .choice([
        magnitudes, .sequence([.text("-"), atMost(bound.value.magnitude, bound.isExclusive)]),
      ])
    }
    return atLeast(bound.value, bound.isExclusive)
  }

  func atMost(_ bound: SchemaConstraints.Bound) -> Expression {
    let zero = DecimalNumber(isNegative: false, whole: [0], fraction: [])
    if bound.value.isNegative {
      return .sequence([.text("-"), atLeast(bound.value.magnitude, bound.isExclusive)])
    }
    if bound.value.isZero, bound.isExclusive { return .sequence([.text("-"), atLeast(zero, true)]) }
    return .choice([atMost(bound.value, bound.isExclusive), .sequence([.text("-"), magnitudes])])
  }

  // MARK: Magnitudes

  private var magnitudes: Expression {
    .sequence([
      .choice([.text("0"), .sequence([Self.digit(1, 9), Self.digits(upTo: wholeDigits - 1)])]), anyFraction,
    ])
  }

  private var anyFraction: Expression {
    fractionDigits == 0
      ? .empty
      : Self.optional(
        .sequence([.text("."), .repeated(Self.digit(0, 9), minimum: 1, maximum: fractionDigits)]))
  }

  /// ```
  /// ≥ 12.5:   13, 14 … 99, 100 …  with any fraction;   12 with a fraction from .5 on
  /// ```
  private func atLeast(_ bound: DecimalNumber, _ isExclusive: Bool) -> Expression {
    let whole = bound.whole
    var larger: [Expression] = []
    if whole.count < wholeDigits {
      larger.append(
        .sequence([
          Self.digit(1, 9),
          .repeated(Self.digit(0, 9), minimum: whole.count, maximum: wholeDigits - 1),
        ]))
    }
    for index in whole.indices where whole[index] < 9 {
      larger.append(
        .sequence([
          Self.literal(whole[..<index]), Self.digit(whole[index] + 1, 9),
          .repeated(Self.digit(0, 9), minimum: whole.count - index - 1, maximum: whole.count - index - 1),
        ]))
    }
    var result: [Expression] = [.sequence([.choice(larger), anyFraction])]
    if let fraction = fractionAtLeast(bound.fraction, isExclusive) {
      result.append(.sequence([Self.literal(whole[...]), fraction]))
    }
    return .choice(result)
  }

  private func atMost(_ bound: DecimalNumber, _ isExclusive: Bool) -> Expression {
    let whole = bound.whole
    var smaller: [Expression] = []
    if whole != [0] {
      smaller.append(.text("0"))
      if whole.count > 1 {
        smaller.append(
          .sequence([Self.digit(1, 9), Self.digits(upTo: min(whole.count - 2, wholeDigits - 1))]))
      }
      // No leading zeros.
      for index in whole.indices where whole[index] > (index == 0 ? 1 : 0) {
        smaller.append(
          .sequence([
            Self.literal(whole[..<index]), Self.digit(index == 0 ? 1 : 0, whole[index] - 1),
            .repeated(Self.digit(0, 9), minimum: whole.count - index - 1, maximum: whole.count - index - 1),
          ]))
      }
    }
    var result: [Expression] = [.sequence([.choice(smaller), anyFraction])]
    if let fraction = fractionAtMost(bound.fraction, isExclusive) {
      result.append(.sequence([Self.literal(whole[...]), fraction]))
    }
    return .choice(result)
  }

  // MARK: Fractions, with the point, of a number whose whole part is that of the bound

  /// nil when there is none.
  private func fractionAtLeast(_ bound: [UInt8], _ isExclusive: Bool) -> Expression? {
    if bound.isEmpty, !isExclusive { return anyFraction }
    let room = max(fractionDigits, fractionDigits == 0 ? 0 : bound.count + 1)
    if room == 0 { return nil }
    // All digits of the bound, and more of them; or more than one of its digits at its place.
    var result: [Expression] = []
    let rest = room - bound.count
    if isExclusive {
      for zeros in 0..<rest {
        result.append(
          .sequence([
            Self.literal(bound[...]), .repeated(.text("0"), minimum: zeros, maximum: zeros),
            Self.digit(1, 9), Self.digits(upTo: rest - zeros - 1),
          ]))
      }
    } else {
      result.append(.sequence([Self.literal(bound[...]), Self.digits(upTo: rest)]))
    }
    for index in bound.indices where bound[index] < 9 {
      result.append(
        .sequence([
          Self.literal(bound[..<index]), Self.digit(bound[index] + 1, 9), Self.digits(upTo: room - index - 1),
        ]))
    }
    return .sequence([.text("."), .choice(result)])
  }

  private func fractionAtMost(_ bound: [UInt8], _ isExclusive: Bool) -> Expression? {
    if bound.isEmpty { return isExclusive ? nil : .empty }
    if fractionDigits == 0 { return .empty }
    let room = max(fractionDigits, bound.count)
    var result: [Expression] = isExclusive ? [] : [Self.literal(bound[...])]
    for index in bound.indices {
      // What ends here is smaller, because digits other than 0 are missing.
      if index > 0 { result.append(Self.literal(bound[..<index])) }
      if bound[index] > 0 {
        result.append(
          .sequence([
            Self.literal(bound[..<index]), Self.digit(0, bound[index] - 1),
            Self.digits(upTo: room - index - 1),
          ]))
      }
    }
    return Self.optional(.sequence([.text("."), .choice(result)]))
  }

  private static func digit(_ low: UInt8, _ high: UInt8) -> Expression {
    .set(CodePointSet([UInt32(low) + 0x30...UInt32(high) + 0x30]))
  }

  private static func digits(upTo count: Int) -> Expression {
    .repeated(digit(0, 9), minimum: 0, maximum: max(0, count))
  }

  private static func literal(_ digits: ArraySlice<UInt8>) -> Expression {
    .literal(digits.map { $0 + 0x30 })
  }

  private static func optional(_ body: Expression) -> Expression {
    .repeated(body, minimum: 0, maximum: 1)
  }
}

extension ByteDFA {
  /// Whole numerals whose value is a multiple: a state is the remainder of the digits so far.
  init(multiplesOf divisor: Int) {
    var rows: [[Edge]] = [[Edge(low: 0x2D, high: 0x2D, to: 1)] + Self.row(0, divisor), Self.row(0, divisor)]
    for remainder in 0..<divisor { rows.append(Self.row(remainder, divisor)) }
    self.init(edges: rows, isAccepting: [false, false] + (0..<divisor).map { $0 == 0 })
  }

  private static func row(_ remainder: Int, _ divisor: Int) -> [Edge] {
    (0..<10).map { digit in
      Edge(
        low: UInt8(0x30 + digit), high: UInt8(0x30 + digit), to: Int32(2 + (remainder * 10 + digit) % divisor)
      )
    }
  }
}
