internal import JSON

/// A schema, and the JSON pointer of where it stands.
struct LocatedSchema: Sendable {
  var schema: JSONValue
  var path: String

  subscript(key: String) -> LocatedSchema? {
    schema[key].map { LocatedSchema(schema: $0, path: path + "/" + Self.escape(key)) }
  }

  func element(_ index: Int, of key: String) -> LocatedSchema? {
    schema[key]?[index].map { LocatedSchema(schema: $0, path: "\(path)/\(Self.escape(key))/\(index)") }
  }

  /// RFC 6901.
  static func escape(_ key: String) -> String {
    key.contains("~") || key.contains("/")
      ? key.split(separator: "~", omittingEmptySubsequences: false).joined(separator: "~0")
        .split(separator: "/", omittingEmptySubsequences: false).joined(separator: "~1")
      : key
  }
}

/// What one alternative of a schema asks of a value: all its keywords, those of `allOf` and `$ref` included.
///
/// A list of schemas stands for all of them together; the empty list for anything.
struct SchemaConstraints: Sendable {
  struct Kinds: OptionSet, Sendable {
    let rawValue: UInt8
    static let null = Kinds(rawValue: 1)
    static let boolean = Kinds(rawValue: 2)
    static let integer = Kinds(rawValue: 4)
    /// Numbers that are not whole.
    static let fraction = Kinds(rawValue: 8)
    static let string = Kinds(rawValue: 16)
    static let array = Kinds(rawValue: 32)
    static let object = Kinds(rawValue: 64)
    static let number: Kinds = [.integer, .fraction]
    static let all = Kinds(rawValue: 127)
  }
  struct Bound: Sendable {
    var value: DecimalNumber
    var isExclusive: Bool
  }
  /// A regular expression that a string must match.
  struct Pattern: Sendable, Equatable {
    var regex: String
    var path: String
  }
  struct Property: Sendable {
    var key: String
    var schemas: [LocatedSchema]
  }
  struct PatternProperty: Sendable {
    var pattern: Pattern
    var schemas: [LocatedSchema]
  }

  /// Where the schema stands, for messages.
  var path: String
  var kinds = Kinds.all
  /// Only these, when given.
  var values: [JSONValue]?
  var low: Bound?
  var high: Bound?
  var multiples: [Int] = []
  var minLength = 0
  var maxLength: Int?
  var patterns: [Pattern] = []
  var minItems = 0
  var maxItems: Int?
  var prefix: [[LocatedSchema]] = []
  /// Behind the prefix; nil when nothing was said.
  var items: [LocatedSchema]?
  var properties: [Property] = []
  var required: [String] = []
  var patternProperties: [PatternProperty] = []
  /// All other keys; nil when nothing was said.
  var additional: [LocatedSchema]?
  var names: [LocatedSchema] = []
  var minProperties = 0
  var maxProperties: Int?

  init(path: String) { self.path = path }

  func property(_ key: String) -> [LocatedSchema]? {
    properties.first { $0.key.utf8.elementsEqual(key.utf8) }?.schemas
  }

  func requires(_ key: String) -> Bool { required.contains { $0.utf8.elementsEqual(key.utf8) } }
}

extension SchemaConstraints {
  /// Both together. Keys that only one of them lists are other keys to the other.
  func merged(_ other: SchemaConstraints, matches: (Pattern, String) throws(GrammarError) -> Bool)
    throws(GrammarError) -> SchemaConstraints
  {
    var result = self
    result.kinds.formIntersection(other.kinds)
    if let theirs = other.values {
      result.values =
        values.map { $0.filter { value in theirs.contains { $0.isSameValue(as: value) } } } ?? theirs
    }
    result.low = Self.tighter(low, other.low) { $0 > $1 }
    result.high = Self.tighter(high, other.high) { $0 < $1 }
    result.multiples += other.multiples
    result.minLength = max(minLength, other.minLength)
    result.maxLength = Self.smaller(maxLength, other.maxLength)
    for pattern in other.patterns where !patterns.contains(pattern) { result.patterns.append(pattern) }
    result.minItems = max(minItems, other.minItems)
    result.maxItems = Self.smaller(maxItems, other.maxItems)
    result.prefix = (0..<max(prefix.count, other.prefix.count)).map { index in
      (index < prefix.count ? prefix[index] : items ?? [])
        + (index < other.prefix.count ? other.prefix[index] : other.items ?? [])
    }
    result.items = Self.joined(items, other.items)
    result.properties = []
    for property in properties {
      var schemas = property.schemas
      schemas += try other.schemas(of: property.key, matches: matches)
      result.properties.append(Property(key: property.key, schemas: schemas))
    }
    for theirs in other.properties where self.property(theirs.key) == nil {
      result.properties.append(
        Property(key: theirs.key, schemas: try schemas(of: theirs.key, matches: matches) + theirs.schemas))
    }
    for key in other.required where !requires(key) { result.required.append(key) }
    for theirs in other.patternProperties {
      if let place = patternProperties.firstIndex(where: { $0.pattern.regex == theirs.pattern.regex }) {
        result.patternProperties[place].schemas += theirs.schemas
      } else {
        result.patternProperties.append(theirs)
      }
    }
    result.additional = Self.joined(additional, other.additional)
    result.names += other.names
    result.minProperties = max(minProperties, other.minProperties)
    result.maxProperties = Self.smaller(maxProperties, other.maxProperties)
    return result
  }

  /// What the value of a key has to be: as listed, else by pattern, else like all others.
  func schemas(
    of key: String, matches: (Pattern, String) throws(GrammarError) -> Bool
  ) throws(GrammarError) -> [LocatedSchema] {
    var found = property(key)
    for pattern in patternProperties where try matches(pattern.pattern, key) {
      found = (found ?? []) + pattern.schemas
    }
    return found ?? additional ?? []
  }

  private static func tighter(
    _ a: Bound?, _ b: Bound?, _ isTighter: (DecimalNumber, DecimalNumber) -> Bool
  ) -> Bound? {
    guard let a else { return b }
    guard let b else { return a }
    if a.value == b.value { return Bound(value: a.value, isExclusive: a.isExclusive || b.isExclusive) }
    return isTighter(a.value, b.value) ? a : b
  }

  private static func smaller(_ a: Int?, _ b: Int?) -> Int? {
    guard let a else { return b }
    return min(a, b ?? a)
  }

  private static func joined(_ a: [LocatedSchema]?, _ b: [LocatedSchema]?) -> [LocatedSchema]? {
    a == nil && b == nil ? nil : (a ?? []) + (b ?? [])
  }
}

extension JSONValue {
  /// Equal as JSON Schema compares: `1` and `1.0` are one number.
  func isSameValue(as other: JSONValue) -> Bool {
    switch (self, other) {
    case (.integer, .double), (.double, .integer): return double == other.double
    case (.array(let a), .array(let b)):
      return a.count == b.count && zip(a, b).allSatisfy { $0.isSameValue(as: $1) }
    case (.object(let a), .object(let b)):
      return a.count == b.count && a.allSatisfy { b[$0.key].map($0.value.isSameValue) ?? false }
    default: return self == other
    }
  }

  var schemaKind: SchemaConstraints.Kinds {
    switch self {
    case .null: .null
    case .bool: .boolean
    case .integer: .integer
    case .double(let value): value == value.rounded() ? .integer : .fraction
    case .string: .string
    case .array: .array
    case .object: .object
    }
  }
}
