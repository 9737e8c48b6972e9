internal import JSON

extension Schema {
  /// Checks every known member; unknown ones are let pass.
  /// - Parameter parent: the field of the request that the object is in; nil for the request itself.
  func validate(_ object: JSONObject, path: String = "body", in parent: String? = nil) throws(APIError) {
    for field in fields {
      let place = "\(path).\(field.name)"
      guard let value = object[field.name] else {
        if field.isRequired { throw .shape("this field is required", path: place) }
        continue
      }
      if value.isNull, field.isNullable { continue }
      let parameter = parent.map { "\($0).\(field.name)" } ?? field.name
      try field.type.validate(value, path: place, parameter: parameter)
    }
  }
}

extension FieldType {
  /// - Parameters:
  ///   - path: where the value stands, for wrong shapes.
  ///   - parameter: the field, by its names from the top, for values out of bounds.
  func validate(_ value: JSONValue, path: String, parameter: String) throws(APIError) {
    guard hasShape(of: value) else {
      throw .shape("expected \(noun), found \(Self.describe(value))", path: path)
    }
    switch self {
    case .any, .boolean, .choice: break
    case .integer(let range):
      guard let number = value.int, range.contains(Int64(number)) else {
        throw .invalid(
          "\(parameter) must be \(Self.text(range)), got \(value.serialized()).", parameter, value: value)
      }
    case .number(let bounds):
      guard let number = value.double, bounds.contains(number) else {
        throw .invalid(
          "\(parameter) must be \(bounds.text), got \(value.serialized()).", parameter, value: value)
      }
    case .string(let minimumLength):
      if minimumLength > 0, value.string?.isEmpty == true {
        throw .invalid("\(parameter) cannot contain an empty string.", parameter, value: value)
      }
    case .array(let element, let count):
      guard let elements = value.array else { break }
      if elements.count < count.lowerBound {
        throw .invalid("\(parameter) must have at least \(Self.items(count.lowerBound)).", parameter)
      }
      if elements.count > count.upperBound {
        throw .invalid(
          "\(parameter) must have at most \(Self.items(count.upperBound)), got \(elements.count).", parameter)
      }
      for (index, item) in elements.enumerated() {
        try element.validate(item, path: "\(path)[\(index)]", parameter: parameter)
      }
    case .map(let element):
      for (key, item) in value.object ?? [:] {
        try element.validate(item, path: "\(path).\(key.prefix(40))", parameter: parameter)
      }
    case .object(let schema): try schema.validate(value.object ?? [:], path: path, in: parameter)
    case .either(let types):
      for type in types where type.suits(value) {
        return try type.validate(value, path: path, parameter: parameter)
      }
    }
  }

  /// Whether the value itself is of this type, whatever its bounds and elements.
  private func hasShape(of value: JSONValue) -> Bool {
    switch (self, value) {
    case (.any, _), (.boolean, .bool), (.number, .integer), (.number, .double), (.string, .string): true
    case (.integer, .integer): true
    // A whole number too large for an integer is a wrong value, not a wrong type.
    case (.integer, .double(let number)): number == number.rounded()
    case (.choice(let names), .string(let name)): names.contains(name)
    case (.array, .array), (.map, .object), (.object, .object): true
    case (.either(let types), _): types.contains { $0.suits(value) }
    default: false
    }
  }

  /// Tells alternatives apart: a list belongs to the one that its first element fits.
  private func suits(_ value: JSONValue) -> Bool {
    guard hasShape(of: value) else { return false }
    if case (.array(let element, _), .array(let items)) = (self, value), let first = items.first {
      return element.suits(first)
    }
    return true
  }

  private static func describe(_ value: JSONValue) -> String {
    switch value {
    case .null: "null"
    case .bool: "a boolean"
    case .integer, .double: "the number \(value.serialized())"
    case .string(let text): text.utf8.count <= 40 ? "the string '\(text)'" : "a string"
    case .array: "a list"
    case .object: "an object"
    }
  }

  private static func text(_ range: ClosedRange<Int64>) -> String {
    switch (range.lowerBound == .min, range.upperBound == .max) {
    case (true, true): "a 64-bit integer"
    case (false, true): "at least \(range.lowerBound)"
    case (true, false): "at most \(range.upperBound)"
    case (false, false): "in [\(range.lowerBound), \(range.upperBound)]"
    }
  }

  private static func items(_ count: Int) -> String { count == 1 ? "1 item" : "\(count) items" }
}
