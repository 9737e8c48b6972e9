internal import JSON

/// What the routes answer, as JSON Schema.
enum ResponseSchemas {
  static let all: [(name: String, schema: JSONValue)] = [
    ("ErrorResponse", error), ("Usage", usage), ("EmbeddingUsage", embeddingUsage),
    ("CompletionLogprobs", completionLogprobs),
    ("CompletionResponse", completion), ("ChatLogprobs", chatLogprobs), ("ChatCompletionResponse", chat),
    ("FileObject", file), ("FileList", page("FileObject")), ("FileDeleted", fileDeleted),
    ("Batch", batch), ("BatchList", page("Batch")), ("EmbeddingResponse", embeddings), ("ModelCard", model),
    ("ModelList", modelList), ("TokenizeResponse", tokenize),
    ("DetokenizeResponse", object(["prompt": string])),
    ("TokenizerInformation", ["type": "object", "additionalProperties": true]),
    ("VersionResponse", object(["version": string])), ("LoadResponse", object(["server_load": count])),
  ]

  static func reference(_ name: String) -> JSONValue { ["$ref": .string("#/components/schemas/" + name)] }

  static func either(_ names: String...) -> JSONValue { ["anyOf": .array(names.map { reference($0) })] }

  // MARK: Pieces

  private static let string: JSONValue = ["type": "string"]
  private static let number: JSONValue = ["type": "number"]
  private static let boolean: JSONValue = ["type": "boolean"]
  private static let integer: JSONValue = ["type": "integer"]
  private static let count: JSONValue = ["type": "integer", "minimum": 0]
  private static let null: JSONValue = ["type": "null"]

  /// Every member is required; more may come.
  private static func object(_ members: JSONObject) -> JSONValue {
    [
      "type": "object", "properties": .object(members), "required": .array(members.keys.map { .string($0) }),
      "additionalProperties": true,
    ]
  }

  private static func array(_ element: JSONValue) -> JSONValue { ["type": "array", "items": element] }

  private static func optional(_ schema: JSONValue) -> JSONValue { ["anyOf": [schema, null]] }

  private static func constant(_ text: String) -> JSONValue { ["const": .string(text)] }

  // MARK: Bodies

  private static let error = object([
    "error": object([
      "message": string,
      "type": ["type": "string", "enum": .array(APIError.Kind.allCases.map { .string($0.rawValue) })],
      "param": optional(string), "code": integer,
    ])
  ])

  private static let usage = object([
    "prompt_tokens": count, "total_tokens": count, "completion_tokens": count,
    "prompt_tokens_details": optional(object(["cached_tokens": count])),
    "completion_tokens_details": optional(
      object(["accepted_prediction_tokens": count, "rejected_prediction_tokens": count])),
  ])

  private static let embeddingUsage = object([
    "prompt_tokens": count, "total_tokens": count, "completion_tokens": count,
    "prompt_tokens_details": optional(object(["cached_tokens": count])),
  ])

  private static let completionLogprobs = object([
    "text_offset": array(count), "token_logprobs": array(optional(number)), "tokens": array(string),
    "top_logprobs": array(optional(["type": "object", "additionalProperties": number])),
  ])

  private static let promptLogprobs = optional(
    array(
      optional([
        "type": "object",
        "additionalProperties": object(["logprob": number, "rank": integer, "decoded_token": string]),
      ])))

  private static let finishReason: JSONValue = [
    "type": "string", "enum": ["stop", "length", "tool_calls", "abort"],
  ]
  private static let stopReason: JSONValue = ["type": ["string", "integer", "null"]]
  private static let tokenIDs = optional(array(count))

  private static let completion = object([
    "id": string, "object": constant("text_completion"), "created": count, "model": string,
    "system_fingerprint": string,
    "choices": array(
      object([
        "index": count, "text": string, "logprobs": optional(reference("CompletionLogprobs")),
        "finish_reason": finishReason, "stop_reason": stopReason, "token_ids": tokenIDs,
        "prompt_logprobs": promptLogprobs, "prompt_token_ids": tokenIDs,
      ])), "usage": reference("Usage"), "kv_transfer_params": null,
  ])

  private static let chatToken: JSONObject = [
    "token": string, "logprob": number, "bytes": optional(array(count)),
  ]

  private static let chatLogprobs: JSONValue = {
    var token = chatToken
    token["top_logprobs"] = array(object(chatToken))
    return object(["content": optional(array(object(token)))])
  }()

  /// `tool_calls` is left out when there are none.
  private static let message: JSONValue = {
    let message = object([
      "role": constant("assistant"), "content": optional(string), "refusal": null, "annotations": null,
      "audio": null, "function_call": null, "reasoning": optional(string),
    ])
    guard var members = message.object, var properties = members["properties"]?.object else { return message }
    properties["tool_calls"] = array(
      object([
        "id": string, "type": constant("function"),
        "function": object(["name": string, "arguments": string]),
      ]))
    members["properties"] = .object(properties)
    return .object(members)
  }()

  private static let chat = object([
    "id": string, "object": constant("chat.completion"), "created": count, "model": string,
    "system_fingerprint": string, "service_tier": null,
    "choices": array(
      object([
        "index": count,
        "message": message, "logprobs": optional(reference("ChatLogprobs")), "finish_reason": finishReason,
        "stop_reason": stopReason, "token_ids": tokenIDs,
      ])), "usage": reference("Usage"), "prompt_logprobs": promptLogprobs, "prompt_token_ids": tokenIDs,
    "kv_transfer_params": null,
  ])

  private static let file = object([
    "id": string, "object": constant("file"), "bytes": count, "created_at": count,
    "expires_at": optional(count), "filename": string, "purpose": string, "status": string,
    "status_details": optional(string),
  ])

  private static let fileDeleted = object([
    "id": string, "object": constant("file"), "deleted": boolean,
  ])

  private static func page(_ name: String) -> JSONValue {
    object([
      "object": constant("list"), "data": array(reference(name)), "first_id": optional(string),
      "last_id": optional(string), "has_more": boolean,
    ])
  }

  private static let batch: JSONValue = {
    let problem = object([
      "code": string, "message": string, "param": optional(string), "line": optional(count),
    ])
    var members: JSONObject = [
      "id": string, "object": constant("batch"), "endpoint": string,
      "errors": optional(object(["object": constant("list"), "data": array(problem)])),
      "input_file_id": string, "completion_window": string,
      "status": [
        "type": "string", "enum": .array(BatchRecord.Status.allCases.map { .string($0.rawValue) }),
      ], "output_file_id": optional(string), "error_file_id": optional(string), "created_at": count,
      "expires_at": count, "request_counts": object(["total": count, "completed": count, "failed": count]),
      "metadata": optional(["type": "object", "additionalProperties": string]),
    ]
    for name in [
      "in_progress_at", "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at",
      "cancelled_at",
    ] {
      members[name] = optional(count)
    }
    return object(members)
  }()

  private static let embeddings = object([
    "id": string, "object": constant("list"), "created": count, "model": string,
    "data": array(
      object([
        "index": count, "object": constant("embedding"),
        "embedding": ["anyOf": [array(number), string]] as JSONValue,
      ])), "usage": reference("EmbeddingUsage"),
  ])

  private static let model = object([
    "id": string, "object": constant("model"), "created": count, "owned_by": string, "root": string,
    "parent": optional(string), "max_model_len": count, "permission": array(["type": "object"]),
  ])

  private static let modelList = object(["object": constant("list"), "data": array(reference("ModelCard"))])

  private static let tokenize = object([
    "count": count, "max_model_len": count, "tokens": array(count), "token_strs": optional(array(string)),
  ])
}
