package import JSON

/// Reads the fields of one JSON object with a check on each: type, range, and whether it may be left out.
///
/// A field given as `null` counts as left out. Where a field has had several names, all are given, the oldest
/// habit last; the first one present is read.
package struct ConfigurationReader: Sendable {
  package let file: String
  private let members: JSONObject
  /// Put before field names in messages: "rope_scaling." inside that object.
  private let path: String

  /// - Throws: `notAnObject`.
  package init(_ value: JSONValue, file: String = "config.json") throws(ModelError) {
    try self.init(value, file: file, path: "")
  }

  private init(_ value: JSONValue, file: String, path: String) throws(ModelError) {
    guard let object = value.object else {
      throw .notAnObject(file: file, field: path.isEmpty ? nil : String(path.dropLast()))
    }
    members = object
    self.file = file
    self.path = path
  }

  /// Where to look and what to call it: the first name present, else the first name.
  private func find(_ names: [String]) -> (name: String, value: JSONValue?) {
    for name in names {
      if let value = members[name], !value.isNull { return (path + name, value) }
    }
    return (path + (names.first ?? ""), nil)
  }

  /// Written in the file, be it as `null`.
  package func contains(_ name: String) -> Bool { members.contains(name) }

  /// A whole number (`2.0` counts as one); without a default it must be there.
  package func integer(
    _ names: String..., in range: ClosedRange<Int>, default fallback: Int? = nil
  ) throws(ModelError) -> Int {
    let (name, value) = find(names)
    let allowed = "an integer from \(range.lowerBound) to \(range.upperBound)"
    guard let value else {
      guard let fallback else { throw .missingField(file: file, field: name, allowed: allowed) }
      return fallback
    }
    guard let integer = value.int, range.contains(integer) else { throw invalid(name, value, allowed) }
    return integer
  }

  /// nil where the field is missing or `null`.
  package func optionalInteger(_ names: String..., in range: ClosedRange<Int>) throws(ModelError) -> Int? {
    let (name, value) = find(names)
    guard let value else { return nil }
    guard let integer = value.int, range.contains(integer) else {
      throw invalid(name, value, "an integer from \(range.lowerBound) to \(range.upperBound), or null")
    }
    return integer
  }

  /// A number; without a default it must be there.
  package func number(
    _ names: String..., in range: ClosedRange<Double>, default fallback: Double? = nil
  ) throws(ModelError) -> Double {
    let (name, value) = find(names)
    let allowed = "a number from \(range.lowerBound) to \(range.upperBound)"
    guard let value else {
      guard let fallback else { throw .missingField(file: file, field: name, allowed: allowed) }
      return fallback
    }
    guard let number = value.double, range.contains(number) else { throw invalid(name, value, allowed) }
    return number
  }

  /// An array of numbers, which must be there.
  package func numbers(_ name: String, in range: ClosedRange<Double>) throws(ModelError) -> [Double] {
    let (path, value) = find([name])
    let allowed = "an array of numbers from \(range.lowerBound) to \(range.upperBound)"
    guard let value else { throw .missingField(file: file, field: path, allowed: allowed) }
    guard let elements = value.array else { throw invalid(path, value, allowed) }
    var numbers: [Double] = []
    for element in elements {
      guard let number = element.double, range.contains(number) else { throw invalid(path, element, allowed) }
      numbers.append(number)
    }
    return numbers
  }

  /// `true` or `false`; nothing else counts as either.
  package func flag(_ name: String, default fallback: Bool) throws(ModelError) -> Bool {
    let (name, value) = find([name])
    guard let value else { return fallback }
    guard let flag = value.bool else { throw invalid(name, value, "true or false") }
    return flag
  }

  /// nil where the field is missing or `null`.
  package func string(_ names: String...) throws(ModelError) -> String? {
    let (name, value) = find(names)
    guard let value else { return nil }
    guard let string = value.string else { throw invalid(name, value, "a string") }
    return string
  }

  /// nil where the field is missing or `null`.
  package func strings(_ name: String) throws(ModelError) -> [String]? {
    let (name, value) = find([name])
    guard let value else { return nil }
    guard let elements = value.array else { throw invalid(name, value, "an array of strings") }
    var strings: [String] = []
    for element in elements {
      guard let string = element.string else { throw invalid(name, value, "an array of strings") }
      strings.append(string)
    }
    return strings
  }

  /// The object of this name, to be read with the same checks; nil where it is missing, `null` or empty.
  package func object(_ name: String) throws(ModelError) -> ConfigurationReader? {
    let (name, value) = find([name])
    guard let value else { return nil }
    let reader = try ConfigurationReader(value, file: file, path: name + ".")
    return reader.members.isEmpty ? nil : reader
  }

  /// A member whose value is itself an object, if there is one.
  package var firstNestedObject: String? {
    members.first { $0.value.object != nil }.map { path + $0.key }
  }

  /// The error for a well-formed value of `name` that is not implemented; long texts are cut.
  package func unsupported(_ name: String, _ found: String, _ supported: [String]) -> ModelError {
    .unsupportedValue(
      file: file, field: Self.excerpt(path + name), found: Self.excerpt(found), supported: supported)
  }

  /// The error for fields that contradict each other.
  package func conflict(_ fields: String..., reason: String) -> ModelError {
    .conflictingFields(file: file, fields: fields.map { path + $0 }, reason: reason)
  }

  private func invalid(_ name: String, _ value: JSONValue, _ allowed: String) -> ModelError {
    .invalidField(file: file, field: name, found: Self.excerpt(value), allowed: allowed)
  }

  /// A hostile file can hold megabytes in one field; a message holds 60 characters of it.
  private static func excerpt(_ value: JSONValue) -> String {
    switch value {
    case .array(let elements): return "an array of \(elements.count)"
    case .object: return "an object"
    case .string(let string):
      return "\"\(excerpt(string))\""
    default: return value.description
    }
  }

  private static func excerpt(_ text: String) -> String {
    text.utf8.count <= 60 ? text : "\(text.prefix(60))…"
  }
}
