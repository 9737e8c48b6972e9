internal import Glibc
internal import JSON

extension TemplateInterpreter {
  func negated(_ value: TemplateValue) throws(TemplateProblem) -> TemplateValue {
    if case .float(let value) = value { return .float(-value) }
    if let value = value.index { return .integer(try exact(Int64(0).subtractingReportingOverflow(value))) }
    throw badOperand("-", value)
  }

  func unchanged(_ value: TemplateValue) throws(TemplateProblem) -> TemplateValue {
    if case .float = value { return value }
    if let value = value.index { return .integer(value) }
    throw badOperand("+", value)
  }

  private func badOperand(_ sign: String, _ value: TemplateValue) -> TemplateProblem {
    if case .undefined(let undefined) = value { return undefined.problem }
    return .type("bad operand type for unary \(sign): '\(value.typeName)'")
  }

  func arithmetic(
    _ operation: TemplateExpression.ArithmeticOperator, _ a: TemplateValue, _ b: TemplateValue
  ) throws(TemplateProblem) -> TemplateValue {
    if case .string(let format) = a, operation == .remainder { return try formatted(format, percent: b) }
    switch (a, b) {
    case (.undefined(let undefined), _), (_, .undefined(let undefined)): throw undefined.problem
    default: break
    }
    if let x = a.index, let y = b.index { return try arithmetic(operation, x, y) }
    if let x = a.double, let y = b.double { return .float(try arithmetic(operation, x, y)) }
    switch (operation, a, b) {
    case (.add, .string(let a), .string(let b)):
      try produce(bytes: a.utf8.count + b.utf8.count)
      return .string(a + b)
    case (.add, .list(let a), .list(let b)):
      try step(a.elements.count + b.elements.count)
      return .list(a.elements + b.elements)
    case (.add, .tuple(let a), .tuple(let b)):
      try step(a.elements.count + b.elements.count)
      return .tuple(a.elements + b.elements)
    case (.multiply, _, _):
      if let count = b.index, let product = try repeated(a, count) { return product }
      if let count = a.index, let product = try repeated(b, count) { return product }
    default: break
    }
    throw .type(
      "unsupported operand type(s) for \(operation.rawValue): '\(a.typeName)' and '\(b.typeName)'")
  }

  private func repeated(_ value: TemplateValue, _ count: Int64) throws(TemplateProblem) -> TemplateValue? {
    let count = Int(max(count, 0))
    func checkedSize(_ size: Int) -> Int {
      let (product, overflow) = size.multipliedReportingOverflow(by: count)
      return overflow ? Int.max / 2 : min(product, Int.max / 2)
    }
    switch value {
    case .string(let text):
      try produce(bytes: checkedSize(text.utf8.count))
      return .string(text.isEmpty ? "" : String(repeating: text, count: count))
    case .list(let sequence):
      try step(checkedSize(sequence.elements.count))
      return .list(sequence.elements.repeated(count))
    case .tuple(let sequence):
      try step(checkedSize(sequence.elements.count))
      return .tuple(sequence.elements.repeated(count))
    default: return nil
    }
  }

  private func arithmetic(
    _ operation: TemplateExpression.ArithmeticOperator, _ a: Int64, _ b: Int64
  ) throws(TemplateProblem) -> TemplateValue {
    switch operation {
    case .add: return .integer(try exact(a.addingReportingOverflow(b)))
    case .subtract: return .integer(try exact(a.subtractingReportingOverflow(b)))
    case .multiply: return .integer(try exact(a.multipliedReportingOverflow(by: b)))
    case .divide: return .float(try arithmetic(operation, Double(a), Double(b)))
    case .floorDivide, .remainder:
      if b == 0 { throw .divisionByZero }
      let quotient = try exact(a.dividedReportingOverflow(by: b))
      let remainder = a - quotient * b
      // Python rounds down, Swift towards zero.
      let isAdjusted = remainder != 0 && (remainder < 0) != (b < 0)
      if operation == .floorDivide { return .integer(isAdjusted ? quotient - 1 : quotient) }
      return .integer(isAdjusted ? remainder + b : remainder)
    case .power:
      if b < 0 { return .float(try arithmetic(operation, Double(a), Double(b))) }
      return .integer(try power(a, b))
    }
  }

  private func power(_ base: Int64, _ exponent: Int64) throws(TemplateProblem) -> Int64 {
    var (base, exponent, result) = (base, exponent, Int64(1))
    while true {
      if exponent & 1 == 1 { result = try exact(result.multipliedReportingOverflow(by: base)) }
      exponent >>= 1
      if exponent == 0 { return result }
      base = try exact(base.multipliedReportingOverflow(by: base))
    }
  }

  private func arithmetic(
    _ operation: TemplateExpression.ArithmeticOperator, _ a: Double, _ b: Double
  ) throws(TemplateProblem) -> Double {
    switch operation {
    case .add: return a + b
    case .subtract: return a - b
    case .multiply: return a * b
    case .divide:
      if b == 0 { throw .divisionByZero }
      return a / b
    case .floorDivide, .remainder:
      if b == 0 { throw .divisionByZero }
      var remainder = fmod(a, b)
      if remainder != 0, (remainder < 0) != (b < 0) { remainder += b }
      if operation == .remainder { return remainder == 0 ? Double(signOf: b, magnitudeOf: 0) : remainder }
      return floorQuotient(a, b, remainder)
    case .power:
      if a == 0, b < 0 { throw .divisionByZero }
      if a < 0, a.isFinite, b.isFinite, b != b.rounded() { throw .value("complex numbers are not supported") }
      let result = pow(a, b)
      if result.isInfinite, a.isFinite, b.isFinite { throw .value("the result of ** is too large") }
      return result
    }
  }

  private func floorQuotient(_ a: Double, _ b: Double, _ remainder: Double) -> Double {
    let quotient = (a - remainder) / b
    if quotient == 0 { return Double(signOf: a / b, magnitudeOf: 0) }
    let floored = quotient.rounded(.down)
    return quotient - floored > 0.5 ? floored + 1 : floored
  }

  private func exact(
    _ result: (partialValue: Int64, overflow: Bool)
  ) throws(TemplateProblem) -> Int64 {
    if result.overflow { throw .integerOverflow }
    return result.partialValue
  }
}

extension Array {
  fileprivate func repeated(_ count: Int) -> [Element] {
    var result: [Element] = []
    if isEmpty { return result }
    result.reserveCapacity(self.count * count)
    for _ in 0..<count { result += self }
    return result
  }
}
