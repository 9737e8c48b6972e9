package import JSON

/// The API's own description, OpenAPI 3.1, made from the tables that requests are checked against.
package enum OpenAPIDocument {
  package static func make(version: String) -> JSONValue {
    var paths = JSONObject()
    for route in Route.allCases {
      var item = JSONObject()
      for method in route.methods { item[method.lowercased()] = operation(route, method: method) }
      paths[route.template] = .object(item)
    }
    var schemas = JSONObject()
    for (name, schema) in ResponseSchemas.all { schemas[name] = schema }
    for route in Route.allCases {
      if let schema = route.requestSchema { schemas[schema.name] = schema.openAPI }
    }
    return [
      "openapi": "3.1.0",
      "info": [
        "title": "gpuinfer", "version": .string(version),
        "description":
          "The OpenAI API for one language model. Members of a body that are not listed are ignored.",
      ], "paths": .object(paths),
      "components": [
        "schemas": .object(schemas),
        "securitySchemes": [
          "bearer": [
            "type": "http", "scheme": "bearer", "description": "Needed when the server was given keys.",
          ]
        ],
      ],
    ]
  }

  private static func operation(_ route: Route, method: String) -> JSONValue {
    var operation: JSONObject = [
      "operationId": .string("\(route)" + (route.methods.count > 1 ? "_" + method.lowercased() : "")),
      "summary": .string(route.summary), "responses": .object(responses(route)),
    ]
    // An empty alternative says that the key may not be needed.
    if !route.isOpen { operation["security"] = [[:], ["bearer": []]] }
    let parameters = pathParameters(route) + (method == "GET" ? route.queryParameters : [])
    if !parameters.isEmpty { operation["parameters"] = .array(parameters) }
    if method == "POST", route == .files { operation["requestBody"] = upload }
    if method == "POST", let schema = route.requestSchema {
      var examples = JSONObject()
      for (index, example) in schema.examples.enumerated() {
        examples["example\(index + 1)"] = ["value": example]
      }
      operation["requestBody"] = [
        "required": true,
        "content": [
          "application/json": [
            "schema": ResponseSchemas.reference(schema.name), "examples": .object(examples),
          ]
        ],
      ]
    }
    return .object(operation)
  }

  private static func pathParameters(_ route: Route) -> [JSONValue] {
    guard let name = route.parameter?.name else { return [] }
    let about =
      route == .model
      ? "A name from /v1/models." : "An id from /v1/\(name == "file_id" ? "files" : "batches")."
    return [
      [
        "name": .string(String(name)), "in": "path", "required": true, "description": .string(about),
        "schema": ["type": "string", "minLength": 1],
      ]
    ]
  }

  /// The one body that is no JSON.
  private static let upload: JSONValue = [
    "required": true,
    "content": [
      "multipart/form-data": [
        "schema": [
          "type": "object", "required": ["file", "purpose"],
          "properties": [
            "file": [
              "type": "string", "format": "binary", "description": "Batch lines, one JSON object each.",
            ], "purpose": ["type": "string", "enum": ["batch"], "description": "What the file is for."],
          ],
        ]
      ]
    ],
  ]

  private static func responses(_ route: Route) -> JSONObject {
    var content = JSONObject()
    for (type, schema) in route.responseContent { content[type] = schema.isNull ? [:] : ["schema": schema] }
    var responses: JSONObject = ["200": ["description": "Success."]]
    if !content.isEmpty { responses["200"] = ["description": "Success.", "content": .object(content)] }
    for (status, text) in route.errors {
      responses["\(status)"] = [
        "description": .string(text),
        "content": ["application/json": ["schema": ResponseSchemas.reference("ErrorResponse")]],
      ]
    }
    return responses
  }
}

extension Route {
  /// What may stand behind the question mark of a GET.
  var queryParameters: [JSONValue] {
    func parameter(_ name: String, _ about: String, _ schema: JSONValue) -> JSONValue {
      [
        "name": .string(name), "in": "query", "required": false, "description": .string(about),
        "schema": schema,
      ]
    }
    guard self == .files || self == .batches else { return [] }
    let limit: Int64 = self == .files ? 10_000 : 100
    var parameters = [
      parameter("after", "Begin behind this one.", ["type": "string"]),
      parameter("limit", "How many at most.", ["type": "integer", "minimum": 1, "maximum": .integer(limit)]),
    ]
    if self == .files {
      parameters.append(parameter("purpose", "Only files for this.", ["type": "string"]))
      parameters.append(
        parameter(
          "order", "By age: desc begins with the newest.", ["type": "string", "enum": ["asc", "desc"]]))
    }
    return parameters
  }

  var requestSchema: Schema? {
    switch self {
    case .completions: RequestSchemas.completion
    case .chatCompletions: RequestSchemas.chat
    case .embeddings: RequestSchemas.embeddings
    case .batches: RequestSchemas.batch
    case .loadAdapter: RequestSchemas.loadAdapter
    case .unloadAdapter: RequestSchemas.unloadAdapter
    case .tokenize: RequestSchemas.tokenize
    case .detokenize: RequestSchemas.detokenize
    default: nil
    }
  }

  fileprivate var summary: String {
    switch self {
    case .completions: "Continue one or more prompts."
    case .chatCompletions: "Answer a conversation."
    case .embeddings: "The embeddings of one or more texts."
    case .models: "The served models."
    case .model: "One served model."
    case .files: "The stored files, or one more."
    case .file: "One stored file, or its end."
    case .fileContent: "What is in a stored file."
    case .batches: "The batches, or one more."
    case .batch: "One batch."
    case .batchCancel: "End a batch early."
    case .loadAdapter: "Load a LoRA adapter from a directory of the server's machine."
    case .unloadAdapter: "Take a LoRA adapter away."
    case .tokenize: "Text or a conversation to token ids."
    case .detokenize: "Token ids to text."
    case .tokenizerInformation: "The tokenizer's configuration."
    case .health: "200 while the process works; 503 when it should be restarted."
    case .ready: "200 while requests are taken; 503 while loading, draining or failed."
    case .version: "The server's version."
    case .load: "Completions and chats under way."
    case .ping: "The same as /health."
    case .metrics: "Metrics in the Prometheus text format."
    case .openAPI: "This document."
    }
  }

  fileprivate var responseContent: [(String, JSONValue)] {
    func json(_ name: String) -> [(String, JSONValue)] {
      [("application/json", ResponseSchemas.reference(name))]
    }
    // OpenAPI 3.1 has no words for the events of a stream.
    let events = ("text/event-stream", JSONValue.null)
    return switch self {
    case .completions: json("CompletionResponse") + [events]
    case .chatCompletions: json("ChatCompletionResponse") + [events]
    case .embeddings: json("EmbeddingResponse")
    case .models: json("ModelList")
    case .model: json("ModelCard")
    case .loadAdapter, .unloadAdapter: [("text/plain", ["type": "string"])]
    // A list by GET, one object by POST; a file by GET, word of its end by DELETE.
    case .files: [("application/json", ResponseSchemas.either("FileList", "FileObject"))]
    case .file: [("application/json", ResponseSchemas.either("FileObject", "FileDeleted"))]
    case .fileContent: [("application/octet-stream", ["type": "string", "format": "binary"])]
    case .batches: [("application/json", ResponseSchemas.either("BatchList", "Batch"))]
    case .batch, .batchCancel: json("Batch")
    case .tokenize: json("TokenizeResponse")
    case .detokenize: json("DetokenizeResponse")
    case .tokenizerInformation: json("TokenizerInformation")
    case .health, .ready, .ping: []
    case .version: json("VersionResponse")
    case .load: json("LoadResponse")
    case .metrics: [("text/plain", ["type": "string"])]
    case .openAPI: [("application/json", ["type": "object"])]
    }
  }

  fileprivate var errors: [(Int, String)] {
    let key = (401, "A key is needed and was missing or wrong.")
    let method = (405, "Another method is needed.")
    let unavailable = (503, "Loading, draining or failed.")
    let body = [
      (400, "The body or a field of it is wrong."), (413, "The body is too large."),
    ]
    return switch self {
    case .completions, .chatCompletions, .embeddings:
      body + [
        key, (404, "The model is not served."), method, (429, "The queue is full; see Retry-After."),
        (499, "The client closed the connection."), (500, "Generation failed."), unavailable,
      ]
    case .files, .file, .fileContent, .batches, .batch, .batchCancel:
      body + [
        key, (404, "There is no such thing, or the route is turned off."), method,
        (409, "It cannot be done in this state."), (429, "Too many batches wait."),
        (500, "The disk failed."), unavailable,
      ]
    case .loadAdapter, .unloadAdapter:
      body + [
        key, (404, "There is no such adapter, or the route is turned off."), method, unavailable,
      ]
    case .tokenize, .detokenize: body + [key, (404, "The model is not served."), method, unavailable]
    case .model: [key, (404, "The model is not served."), method, unavailable]
    case .tokenizerInformation: [key, (404, "The route is turned off."), method, unavailable]
    case .models: [key, method, unavailable]
    case .health, .ready: [method, unavailable]
    case .ping: [key, method, unavailable]
    case .version, .load, .metrics, .openAPI: [key, method]
    }
  }
}
