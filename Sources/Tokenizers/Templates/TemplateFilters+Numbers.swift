internal import Glibc
internal import JSON

extension TemplateInterpreter {
  func absFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    try arguments.requireNone("abs")
    if case .float(let value) = value { return .float(value.magnitude) }
    guard let integer = value.index else { throw .type("bad operand type for abs(): '\(value.typeName)'") }
    return integer < 0 ? try negated(value) : .integer(integer)
  }

  func intFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let values = try arguments.bound(to: ["default", "base"], function: "int")
    let missing = values[0] ?? .integer(0)
    switch value {
    case .string(let text):
      try produce(bytes: text.utf8.count)
      let base = try integer(values[1], default: 10, "int")
      guard base == 0 || (2...36).contains(base) else {
        return wholePart(of: PythonNumbers.float(text)) ?? missing
      }
      if let integer = try PythonNumbers.integer(text, base: base) { return .integer(integer) }
      guard let float = PythonNumbers.float(text) else { return missing }
      if float.isFinite, wholePart(of: float) == nil { throw .integerOverflow }
      return wholePart(of: float) ?? missing
    case .float(let float):
      if float.isInfinite { return missing }
      if float.isNaN { return missing }
      guard let whole = wholePart(of: float) else { throw .integerOverflow }
      return whole
    case .undefined(let undefined): throw undefined.problem
    default: return value.index.map { .integer($0) } ?? missing
    }
  }

  private func wholePart(of value: Double?) -> TemplateValue? {
    value.flatMap { Int64(exactly: $0.rounded(.towardZero)) }.map { .integer($0) }
  }

  func floatFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let values = try arguments.bound(to: ["default"], function: "float")
    switch value {
    case .undefined(let undefined): throw undefined.problem
    case .string(let text):
      try produce(bytes: text.utf8.count)
      return PythonNumbers.float(text).map { .float($0) } ?? values[0] ?? .float(0)
    default: return value.double.map { .float($0) } ?? values[0] ?? .float(0)
    }
  }

  func roundFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let values = try arguments.bound(to: ["precision", "method"], function: "round")
    let precision = try integer(values[0], default: 0, "round")
    var method = "common"
    if case .string(let name) = values[1] { method = name }
    guard ["common", "ceil", "floor"].contains(method) else {
      throw .value("method must be common, ceil or floor")
    }
    if method != "common", case .undefined(let undefined) = value { throw undefined.problem }
    guard let number = value.double else { throw .type("type \(value.typeName) can't be rounded") }
    if method != "common" {
      let scale = pow(10, Double(precision))
      return .float((number * scale).rounded(method == "ceil" ? .up : .down) / scale)
    }
    if let integer = value.index { return .integer(try Self.rounded(integer, precision)) }
    return .float(Self.rounded(number, precision))
  }

  /// Python's `round`: halves go to the even neighbour.
  private static func rounded(_ value: Int64, _ precision: Int64) throws(TemplateProblem) -> Int64 {
    if precision >= 0 { return value }
    if precision < -18 { return 0 }
    let unit = (0..<(-precision)).reduce(Int64(1)) { unit, _ in unit * 10 }
    let (quotient, remainder) = value.quotientAndRemainder(dividingBy: unit)
    let half = unit / 2
    let isUp = remainder.magnitude > half || remainder.magnitude == half && quotient & 1 != 0
    let (rounded, overflow) = (isUp ? quotient + value.signum() : quotient).multipliedReportingOverflow(
      by: unit)
    if overflow { throw .integerOverflow }
    return rounded
  }

  /// The exact decimal value decides, as the C library's formatting knows it.
  private static func rounded(_ value: Double, _ precision: Int64) -> Double {
    guard value.isFinite, precision <= 330 else { return value }
    if precision < 0 {
      let unit = pow(10, -Double(precision))
      return unit.isFinite ? (value / unit).rounded(.toNearestOrEven) * unit : 0 * value
    }
    var specification = FormatSpecification()
    specification.type = "f"
    specification.precision = Int(precision)
    let text = try? specification.formatted(float: value)
    return text.flatMap { Double($0) } ?? value
  }

  func sumFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let values = try arguments.bound(to: ["attribute", "start"], function: "sum")
    let key = try attributeGetter(values[0])
    var sum = values[1] ?? .integer(0)
    if case .string = sum { throw .type("sum() can't sum strings") }
    for element in try elements(of: value) { sum = try arithmetic(.add, sum, try key(element)) }
    return sum
  }
}
