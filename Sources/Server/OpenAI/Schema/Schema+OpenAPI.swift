internal import JSON

extension Schema {
  /// JSON Schema 2020-12, as OpenAPI 3.1 uses it.
  var openAPI: JSONValue {
    var properties = JSONObject()
    for field in fields { properties[field.name] = field.openAPI }
    var schema: JSONObject = [
      "type": "object", "title": .string(name), "description": .string(about),
      "properties": .object(properties),
      "additionalProperties": true,
    ]
    let required = fields.filter(\.isRequired).map { JSONValue.string($0.name) }
    if !required.isEmpty { schema["required"] = .array(required) }
    if !examples.isEmpty { schema["examples"] = .array(examples) }
    return .object(schema)
  }
}

extension Field {
  var openAPI: JSONValue {
    var schema: JSONObject =
      isNullable
      ? ["anyOf": [type.openAPI, ["type": "null"]]]
      : type.openAPI.object ?? [:]
    schema["title"] = .string(name)
    schema["description"] = .string(about)
    if let defaultValue { schema["default"] = defaultValue }
    return .object(schema)
  }
}

extension FieldType {
  var openAPI: JSONValue {
    switch self {
    case .any: return [:]
    case .boolean: return ["type": "boolean"]
    case .integer(let range):
      var schema: JSONObject = ["type": "integer", "format": "int64"]
      if range.lowerBound > .min { schema["minimum"] = .integer(range.lowerBound) }
      if range.upperBound < .max { schema["maximum"] = .integer(range.upperBound) }
      return .object(schema)
    case .number(let bounds):
      var schema: JSONObject = ["type": "number"]
      if bounds.minimum.isFinite {
        schema[bounds.excludesMinimum ? "exclusiveMinimum" : "minimum"] = .double(bounds.minimum)
      }
      if bounds.maximum.isFinite { schema["maximum"] = .double(bounds.maximum) }
      return .object(schema)
    case .string(let minimumLength):
      return minimumLength > 0
        ? ["type": "string", "minLength": .integer(Int64(minimumLength))] : ["type": "string"]
    case .choice(let names): return ["type": "string", "enum": .array(names.map { .string($0) })]
    case .array(let element, let count):
      var schema: JSONObject = ["type": "array", "items": element.openAPI]
      if count.lowerBound > 0 { schema["minItems"] = .integer(Int64(count.lowerBound)) }
      if count.upperBound < Int.max { schema["maxItems"] = .integer(Int64(count.upperBound)) }
      return .object(schema)
    case .map(let element): return ["type": "object", "additionalProperties": element.openAPI]
    case .object(let schema): return schema.openAPI
    case .either(let types): return ["anyOf": .array(types.map(\.openAPI))]
    }
  }
}
