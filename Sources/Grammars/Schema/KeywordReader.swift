internal import JSON

/// Reads the keywords of one schema object, but for those that combine schemas.
struct KeywordReader {
  private let located: LocatedSchema

  init(_ located: LocatedSchema) { self.located = located }

  private func error(_ keyword: String, _ reason: String) -> GrammarError {
    .schema(path: "\(located.path)/\(keyword)", reason: reason)
  }

  func constraints() throws(GrammarError) -> SchemaConstraints {
    var result = SchemaConstraints(path: located.path)
    if let type = located.schema["type"] { result.kinds = try kinds(type) }
    try readValues(&result)
    try readNumbers(&result)
    try readStrings(&result)
    try readArrays(&result)
    try readObjects(&result)
    return result
  }

  private func kinds(_ type: JSONValue) throws(GrammarError) -> SchemaConstraints.Kinds {
    var kinds: SchemaConstraints.Kinds = []
    for name in type.array ?? [type] {
      switch name.string {
      case "null": kinds.insert(.null)
      case "boolean": kinds.insert(.boolean)
      case "integer": kinds.insert(.integer)
      case "number": kinds.formUnion(.number)
      case "string": kinds.insert(.string)
      case "array": kinds.insert(.array)
      case "object": kinds.insert(.object)
      default:
        throw error(
          "type",
          "\(name.serialized().prefix(40)) is no type; types are null, boolean, integer, number, string, array "
            + "and object")
      }
    }
    return kinds
  }

  private func readValues(_ result: inout SchemaConstraints) throws(GrammarError) {
    if let value = located.schema["enum"] {
      guard let values = value.array else { throw error("enum", "expected a list of values") }
      result.values = values
    }
    if let value = located.schema["const"] {
      result.values = result.values?.filter { $0.isSameValue(as: value) } ?? [value]
    }
  }

  private func readNumbers(_ result: inout SchemaConstraints) throws(GrammarError) {
    for (keyword, isLow) in [
      ("minimum", true), ("maximum", false), ("exclusiveMinimum", true), ("exclusiveMaximum", false),
    ] {
      guard let value = located.schema[keyword] else { continue }
      let isExclusive = keyword.hasPrefix("exclusive")
      // Draft 4 says with `true` that the other bound is exclusive.
      if isExclusive, let flag = value.bool {
        if flag {
          if isLow { result.low?.isExclusive = true } else { result.high?.isExclusive = true }
        }
        continue
      }
      guard let number = DecimalNumber(value) else { throw error(keyword, "expected a number") }
      let bound = SchemaConstraints.Bound(value: number, isExclusive: isExclusive)
      if isLow {
        if result.low.map({ $0.value <= number }) ?? true { result.low = bound }
      } else {
        if result.high.map({ $0.value >= number }) ?? true { result.high = bound }
      }
    }
    if let value = located.schema["multipleOf"] {
      guard let number = value.double, number > 0 else {
        throw error("multipleOf", "expected a number greater than 0")
      }
      guard let divisor = value.int, divisor <= 10_000 else {
        throw GrammarError.unsupported(
          path: located.path + "/multipleOf", reason: "only whole numbers up to 10000 are supported")
      }
      if divisor > 1 || !located.schema["type"].isIntegerType { result.multiples.append(divisor) }
    }
  }

  private func count(_ keyword: String) throws(GrammarError) -> Int? {
    guard let value = located.schema[keyword] else { return nil }
    guard let count = value.int, count >= 0 else { throw error(keyword, "expected a whole number from 0 on") }
    return count
  }

  private func readStrings(_ result: inout SchemaConstraints) throws(GrammarError) {
    result.minLength = try count("minLength") ?? 0
    result.maxLength = try count("maxLength")
    if let value = located.schema["pattern"] {
      guard let regex = value.string else { throw error("pattern", "expected a regular expression") }
      result.patterns.append(SchemaConstraints.Pattern(regex: regex, path: located.path + "/pattern"))
    }
    if let value = located.schema["format"] {
      guard let name = value.string else { throw error("format", "expected a name") }
      // Others are notes for people, as the standard has it for all of them.
      if let regex = SchemaFormats.regex(name) {
        result.patterns.append(
          SchemaConstraints.Pattern(regex: "^(\(regex))$", path: located.path + "/format"))
      }
    }
  }

  private func readArrays(_ result: inout SchemaConstraints) throws(GrammarError) {
    result.minItems = try count("minItems") ?? 0
    result.maxItems = try count("maxItems")
    // Until draft 2019-09 a list in `items` was the prefix, and `additionalItems` the rest.
    let prefix = located.schema["items"]?.array == nil ? "prefixItems" : "items"
    if let value = located.schema[prefix] {
      guard let parts = value.array else { throw error(prefix, "expected a list of schemas") }
      result.prefix = parts.indices.map { index in located.element(index, of: prefix).map { [$0] } ?? [] }
    }
    let rest = prefix == "items" ? "additionalItems" : "items"
    if let items = located[rest] { result.items = [items] }
    if let value = located.schema["unevaluatedItems"] {
      guard value.bool != nil else {
        throw GrammarError.unsupported(
          path: located.path + "/unevaluatedItems", reason: "only true and false are supported")
      }
    }
    if located.schema["uniqueItems"]?.bool == true, result.maxItems.map({ $0 > 1 }) ?? true {
      throw GrammarError.unsupported(
        path: located.path + "/uniqueItems",
        reason: "the keyword uniqueItems is not supported, because it can't be kept while generating")
    }
  }

  private func readObjects(_ result: inout SchemaConstraints) throws(GrammarError) {
    result.minProperties = try count("minProperties") ?? 0
    result.maxProperties = try count("maxProperties")
    if let value = located["properties"] {
      guard let members = value.schema.object else {
        throw error("properties", "expected an object of schemas")
      }
      for key in members.keys {
        result.properties.append(
          SchemaConstraints.Property(key: key, schemas: value[key].map { [$0] } ?? []))
      }
    }
    if let value = located["patternProperties"] {
      guard let members = value.schema.object else {
        throw error("patternProperties", "expected an object of schemas")
      }
      for key in members.keys {
        result.patternProperties.append(
          SchemaConstraints.PatternProperty(
            pattern: SchemaConstraints.Pattern(
              regex: key, path: value.path + "/" + LocatedSchema.escape(key)),
            schemas: value[key].map { [$0] } ?? []))
      }
    }
    if let value = located.schema["required"] {
      guard let keys = value.array, keys.allSatisfy({ $0.string != nil }) else {
        throw error("required", "expected a list of names")
      }
      for key in keys.compactMap(\.string) where !result.requires(key) { result.required.append(key) }
    }
    if let additional = located["additionalProperties"] { result.additional = [additional] }
    if let names = located["propertyNames"] { result.names = [names] }
    if let value = located.schema["unevaluatedProperties"] {
      guard value.bool != nil else {
        throw GrammarError.unsupported(
          path: located.path + "/unevaluatedProperties", reason: "only true and false are supported")
      }
    }
  }
}

extension JSONValue? {
  fileprivate var isIntegerType: Bool { self?.string == "integer" }
}
