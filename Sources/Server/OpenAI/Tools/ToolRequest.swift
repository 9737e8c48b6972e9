internal import Grammars
internal import JSON

/// `tools`, `tool_choice` and `parallel_tool_calls` of a request, decoded.
struct ToolRequest {
  let use: ToolUse
  /// What the output must be, where calls are not left to the model.
  let structure: GrammarSpecification?

  /// - Parameter body: checked against its schema already.
  init(_ body: JSONObject, _ options: ServerOptions) throws(APIError) {
    let tools = body["tools"]?.array ?? []
    let choice = body["tool_choice"] ?? .null
    guard !tools.isEmpty else {
      guard choice.isNull || choice == "none" else {
        throw .invalid("When using `tool_choice`, `tools` must be set.", "tool_choice")
      }
      (use, structure) = (.none, nil)
      return
    }
    switch choice {
    case "none": (use, structure) = (.none, nil)
    case "required":
      let isSingle = body["parallel_tool_calls"]?.bool == false
      (use, structure) = (.required, .jsonSchema(Self.listSchema(tools, isSingle: isSingle), .flexible))
    case .object:
      let name = choice["function"]?["name"]?.string ?? ""
      guard let tool = tools.first(where: { Self.name($0).utf8.elementsEqual(name.utf8) }) else {
        throw .invalid(
          "The tool '\(name.prefix(60))' of tool_choice is not among the tools.", "tool_choice")
      }
      (use, structure) = (.named(name), .jsonSchema(Self.parameters(tool), .flexible))
    default:
      guard options.enablesAutoToolChoice, let dialect = options.toolDialect else {
        throw .invalid(
          "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set.",
          "tool_choice")
      }
      (use, structure) = (.auto(dialect), nil)
    }
  }

  private static func name(_ tool: JSONValue) -> String { tool["function"]?["name"]?.string ?? "" }

  private static func parameters(_ tool: JSONValue) -> JSONValue {
    guard let parameters = tool["function"]?["parameters"], parameters.object?.isEmpty == false else {
      return ["type": "object", "properties": [:], "additionalProperties": false]
    }
    return parameters
  }

  /// A list of calls, each of one of the tools.
  static func listSchema(_ tools: [JSONValue], isSingle: Bool) -> JSONValue {
    let calls = tools.enumerated().map { index, tool -> JSONValue in
      let path = "#/items/anyOf/\(index)/properties/parameters"
      return [
        "type": "object",
        "properties": [
          "name": ["const": .string(name(tool))], "parameters": rebased(parameters(tool), path),
        ],
        "required": ["name", "parameters"], "additionalProperties": false,
      ]
    }
    var schema: JSONObject = ["type": "array", "items": ["anyOf": .array(calls)], "minItems": 1]
    if isSingle { schema["maxItems"] = 1 }
    return .object(schema)
  }

  /// References into a schema, when it stands inside another one.
  private static func rebased(_ schema: JSONValue, _ path: String) -> JSONValue {
    switch schema {
    case .array(let elements): return .array(elements.map { rebased($0, path) })
    case .object(let members):
      var result = JSONObject()
      for (key, value) in members {
        if key == "$ref", let reference = value.string, reference == "#" || reference.hasPrefix("#/") {
          result[key] = .string(path + reference.dropFirst())
        } else {
          result[key] = rebased(value, path)
        }
      }
      return .object(result)
    default: return schema
    }
  }
}
