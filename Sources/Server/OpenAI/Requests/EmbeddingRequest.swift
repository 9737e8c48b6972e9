internal import Generation
internal import JSON

/// A decoded request for embeddings.
struct EmbeddingRequest: Sendable {
  /// As in OpenAI's API.
  static let maximumInputs = 2048

  var inputs: [[Int32]] = []
  var isBase64: Bool
  /// Whether vectors are scaled to length 1.
  var isNormalized: Bool
  var priority: Int
  var cacheSalt: String?
  var requestID: String?
  var adapter: (name: String, id: Int32)?

  init(_ body: JSONObject, model: ServedModel, options: ServerOptions) throws(APIError) {
    try model.check(name: body["model"])
    try RequestSchemas.embeddings.validate(body)
    if let dimensions = body["dimensions"], !dimensions.isNull {
      throw .invalid(
        "Model \"\(model.name)\" does not support matryoshka representation, changing output dimensions will lead to "
          + "poor results.", "dimensions", value: dimensions)
    }
    isBase64 = body["encoding_format"]?.string == "base64"
    isNormalized = body["use_activation"]?.bool ?? body["normalize"]?.bool ?? true
    // What prompts have in common in all routes: truncation, priority, salt and id.
    let prompt = try PromptOptions(body, options)
    priority = prompt.priority
    cacheSalt = prompt.cacheSalt
    requestID = prompt.requestID
    adapter = model.adapter(body["model"])
    let items = Self.items(of: body["input"] ?? .null)
    if items.isEmpty { throw .invalid("input must not be empty.", "input") }
    inputs.reserveCapacity(items.count)
    for item in items {
      let tokens: [Int32]
      if let text = item.string {
        tokens = try model.encode(text, addsSpecialTokens: body["add_special_tokens"]?.bool ?? true)
      } else {
        tokens = try SamplingOptions.tokens(
          item.array ?? [], model.service.information.vocabularySize, "input")
      }
      if tokens.isEmpty { throw .invalid("An input has no tokens.", "input") }
      inputs.append(try PromptLimits.fit(tokens, prompt.truncation, maxTokens: 0, model: model))
    }
  }

  /// A list of numbers is one input; a list of texts or of lists is many.
  private static func items(of input: JSONValue) -> [JSONValue] {
    guard let elements = input.array, elements.first?.int == nil else { return [input] }
    return elements
  }

  var promptTokens: Int { inputs.reduce(0) { $0 + $1.count } }

  func request(_ index: Int, id: String, pooling: EmbeddingPooling) -> GenerationRequest {
    var request = GenerationRequest(
      id: inputs.count == 1 ? id : "\(id)-\(index)", prompt: inputs[index], stop: StopConditions(maxTokens: 0)
    )
    request.embedding = pooling
    request.priority = priority
    request.cacheSalt = cacheSalt
    request.adapter = adapter?.id ?? 0
    return request
  }
}
