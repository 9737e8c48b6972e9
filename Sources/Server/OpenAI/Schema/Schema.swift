internal import JSON

/// The members a request body may have.
///
/// One description serves three ends: requests are checked against it, `/openapi.json` publishes it, and the tests
/// walk it for wrong types and values outside the bounds.
struct Schema: Sendable {
  let name: String
  let about: String
  let fields: [Field]
  let examples: [JSONValue]

  init(_ name: String, _ about: String, fields: [Field], examples: [JSONValue] = []) {
    self.name = name
    self.about = about
    self.fields = fields
    self.examples = examples
  }
}

struct Field: Sendable {
  let name: String
  let type: FieldType
  let about: String
  var isRequired = false
  /// Whether an explicit `null` means the same as leaving the field out.
  var isNullable = true
  var defaultValue: JSONValue?

  init(_ name: String, _ type: FieldType, _ about: String, default defaultValue: JSONValue? = nil) {
    self.name = name
    self.type = type
    self.about = about
    self.defaultValue = defaultValue
  }

  /// The same field, which must be there and not be null.
  var required: Field {
    var field = self
    field.isRequired = true
    field.isNullable = false
    return field
  }
}

/// What a value may be. Bounds are inclusive unless said.
indirect enum FieldType: Sendable {
  case any
  case boolean
  case integer(ClosedRange<Int64> = .min ... .max)
  case number(Bounds = Bounds())
  case string(minimumLength: Int = 0)
  case choice([String])
  case array(FieldType, count: ClosedRange<Int> = 0...Int.max)
  /// An object with any keys and values of one type.
  case map(FieldType)
  case object(Schema)
  /// The first of these that has the value's shape decides.
  case either([FieldType])

  struct Bounds: Sendable {
    var minimum = -Double.infinity
    var maximum = Double.infinity
    var excludesMinimum = false

    func contains(_ value: Double) -> Bool {
      value.isFinite && (excludesMinimum ? value > minimum : value >= minimum) && value <= maximum
    }

    /// "in [0, 2]", "greater than 0".
    var text: String {
      switch (minimum.isFinite, maximum.isFinite) {
      case (false, false): "a finite number"
      case (true, false):
        excludesMinimum ? "greater than \(Self.show(minimum))" : "at least \(Self.show(minimum))"
      case (false, true): "at most \(Self.show(maximum))"
      case (true, true): "in \(excludesMinimum ? "(" : "[")\(Self.show(minimum)), \(Self.show(maximum))]"
      }
    }

    private static func show(_ value: Double) -> String {
      Int(exactly: value).map { String($0) } ?? String(value)
    }
  }
}

extension FieldType {
  /// "an integer": for messages.
  var noun: String {
    switch self {
    case .any: "any value"
    case .boolean: "a boolean"
    case .integer: "an integer"
    case .number: "a number"
    case .string: "a string"
    case .choice(let names): "one of " + names.map { "'\($0)'" }.joined(separator: ", ")
    case .array(let element, _): "a list of " + element.plural
    case .map(let element): "an object of " + element.plural
    case .object: "an object"
    case .either(let types): types.map(\.noun).joined(separator: " or ")
    }
  }

  private var plural: String {
    switch self {
    case .any: "values"
    case .boolean: "booleans"
    case .integer: "integers"
    case .number: "numbers"
    case .string, .choice: "strings"
    case .array(let element, _): "lists of " + element.plural
    case .map, .object: "objects"
    case .either(let types): types.map(\.plural).joined(separator: " or ")
    }
  }
}
