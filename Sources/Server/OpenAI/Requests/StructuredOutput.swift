internal import Generation
internal import Grammars
internal import JSON

/// What a request asks its output to be: `response_format`, or vLLM's `structured_outputs`.
enum StructuredOutput {
  static let fields: [Field] = [
    Field("response_format", .object(responseFormat), "What the output has to be; text when left out."),
    Field(
      "structured_outputs", .object(structuredOutputs),
      "What the output has to be, in more ways; exactly one of its kinds."),
  ]

  private static let jsonSchema = Schema(
    "JSONSchemaFormat", "A JSON Schema.",
    fields: [
      Field("name", .string(), "Its name; for people."),
      Field("description", .string(), "What it is for."),
      Field("schema", .either([.map(.any), .boolean]), "The schema.").required,
      Field("strict", .boolean, "Outputs always follow the schema, whatever this says."),
    ])

  private static let responseFormat = Schema(
    "ResponseFormat", "What the output has to be.",
    fields: [
      Field(
        "type", .choice(["text", "json_object", "json_schema", "structural_tag"]),
        "structural_tag is not supported."
      ).required,
      Field("json_schema", .object(jsonSchema), "With type json_schema."),
    ])

  private static let structuredOutputs = Schema(
    "StructuredOutputs",
    "What the output has to be: exactly one of json, regex, choice, grammar, json_object.",
    fields: [
      Field("json", .either([.map(.any), .boolean, .string()]), "A JSON Schema, or its text."),
      Field("regex", .string(minimumLength: 1), "A regular expression that matches the whole output."),
      Field("choice", .array(.string(), count: 1...Int.max), "One of these texts."),
      Field(
        "grammar", .string(minimumLength: 1), "A grammar (GBNF); the output is what its rule root derives."),
      Field("json_object", .boolean, "Any JSON object."),
      Field("structural_tag", .any, "Not supported."),
      Field("disable_any_whitespace", .boolean, "No white space between the parts of JSON.", default: false),
      Field("whitespace_pattern", .string(), "A regular expression: white space between the parts of JSON."),
    ])

  /// Names of the time before `structured_outputs`: refused, because ignoring them would give a wrong answer.
  static let refused: [SamplingFields.Refused] = [
    "guided_json", "guided_regex", "guided_choice", "guided_grammar", "guided_json_object",
    "guided_whitespace_pattern", "guided_decoding_backend",
  ].map {
    SamplingFields.Refused($0, unless: nil, "\($0) is the name of an older API; use structured_outputs.")
  }

  /// - Parameter object: checked against its schema already.
  static func specification(_ object: JSONObject) throws(APIError) -> GrammarSpecification? {
    let format = try responseFormat(object["response_format"])
    let structured = try structuredOutputs(object["structured_outputs"])
    if format != nil, structured != nil {
      throw .invalid(
        "Only one of response_format and structured_outputs may constrain the output.", "structured_outputs")
    }
    return format ?? structured
  }

  private static func responseFormat(_ format: JSONValue?) throws(APIError) -> GrammarSpecification? {
    switch format?["type"]?.string {
    case "json_object": return .jsonObject(.flexible)
    case "json_schema":
      guard let schema = format?["json_schema"]?["schema"] else {
        throw .invalid("response_format of type json_schema needs `json_schema`.", "response_format")
      }
      return .jsonSchema(schema, .flexible)
    case "structural_tag": throw .unsupported("structural_tag is not supported.", "response_format")
    default: return nil
    }
  }

  private static let kinds = ["json", "regex", "choice", "grammar", "json_object", "structural_tag"]

  private static func structuredOutputs(_ value: JSONValue?) throws(APIError) -> GrammarSpecification? {
    guard let members = value?.object else { return nil }
    let given = kinds.filter { kind in
      guard let value = members[kind], !value.isNull else { return false }
      return kind != "json_object" || value.bool == true
    }
    guard given.count == 1, let kind = given.first else {
      throw .invalid(
        "structured_outputs must have exactly one of \(kinds.dropLast().joined(separator: ", ")); it has "
          + (given.isEmpty ? "none." : given.joined(separator: " and ") + "."), "structured_outputs")
    }
    var whitespace = JSONWhitespace.flexible
    if let pattern = members["whitespace_pattern"]?.string { whitespace = .pattern(pattern) }
    if members["disable_any_whitespace"]?.bool == true {
      guard whitespace == .flexible else {
        throw .invalid(
          "disable_any_whitespace and whitespace_pattern exclude each other.", "structured_outputs")
      }
      whitespace = .none
    }
    switch kind {
    case "regex": return .regex(members["regex"]?.string ?? "")
    case "choice": return .choice(members["choice"]?.array?.compactMap(\.string) ?? [])
    case "grammar": return .grammar(members["grammar"]?.string ?? "")
    case "json_object": return .jsonObject(whitespace)
    case "json": return .jsonSchema(try schema(members["json"] ?? true), whitespace)
    default: throw .unsupported("structural_tag is not supported.", "structured_outputs")
    }
  }

  private static func schema(_ value: JSONValue) throws(APIError) -> JSONValue {
    guard let text = value.string else { return value }
    do {
      return try JSONValue.parse(text)
    } catch {
      throw .invalid("structured_outputs.json is no JSON: \(error)", "structured_outputs")
    }
  }
}

extension ServedModel {
  /// Compiles what a request asks for.
  /// - Parameter parameter: the field that it came in.
  func grammar(
    _ specification: GrammarSpecification?, _ parameter: String
  ) throws(APIError) -> TokenGrammar? {
    guard let specification else { return nil }
    do {
      return try grammars.grammar(for: specification)
    } catch {
      // Paths and names come from the request; an error is never much larger than a line.
      throw .invalid("\(parameter): \("\(error)".prefix(400))", parameter)
    }
  }
}
