internal import Generation
internal import JSON
internal import Tokenizers

extension OpenAIServer {
  // MARK: Models

  func models() throws(APIError) -> HTTPResponse {
    let model = try informationModel()
    let adapters = model.adapters.all.map { card(name: $0.name, model, adapter: $0.entry) }
    return .json(["object": "list", "data": .array(model.names.map { card(name: $0, model) } + adapters)])
  }

  func model(named name: String) throws(APIError) -> HTTPResponse {
    let model = try informationModel()
    try model.check(name: .string(name))
    return .json(card(name: name, model, adapter: model.names.contains(name) ? nil : model.adapters[name]))
  }

  private func card(name: String, _ model: ServedModel, adapter: AdapterNames.Entry? = nil) -> JSONValue {
    [
      "id": .string(name), "object": "model", "created": .integer(Int64(model.created)),
      "owned_by": "gpuinfer",
      "root": .string(adapter?.path ?? model.root), "parent": adapter == nil ? .null : .string(model.name),
      "max_model_len": .integer(Int64(model.maxModelLength)),
      "permission": [
        [
          "id": .string("modelperm-\(name)"), "object": "model_permission",
          "created": .integer(Int64(model.created)), "allow_create_engine": false, "allow_sampling": true,
          "allow_logprobs": true, "allow_search_indices": false, "allow_view": true,
          "allow_fine_tuning": false,
          "organization": "*", "group": .null, "is_blocking": false,
        ]
      ],
    ]
  }

  /// The model also while draining: reading costs nothing.
  func informationModel() throws(APIError) -> ServedModel {
    if let known = knownModel { return known }
    return try servingModel()
  }

  // MARK: State

  func health() -> HTTPResponse {
    if let failure { return APIError(503, .unavailable, failure).response }
    return HTTPResponse(status: 200)
  }

  func ready() throws(APIError) -> HTTPResponse {
    _ = try servingModel()
    if let failure { throw APIError(503, .unavailable, failure) }
    return HTTPResponse(status: 200)
  }

  func metricsText() -> HTTPResponse {
    var text = PrometheusText()
    if let model = knownModel { EngineMetrics.write(model, to: &text) }
    metrics.write(to: &text)
    text.family("gpuinfer:active_requests", .gauge, "Completions and chats under way.")
    text.sample("gpuinfer:active_requests", [], Double(active.count))
    return HTTPResponse(headers: ["Content-Type": PrometheusText.contentType], body: Array(text.text.utf8))
  }

  // MARK: Tokens

  func tokenize(_ body: JSONObject) throws(APIError) -> HTTPResponse {
    let model = try informationModel()
    try model.check(name: body["model"])
    try RequestSchemas.tokenize.validate(body)
    let prompt = body["prompt"]?.string
    let hasMessages = body["messages"]?.array != nil
    guard (prompt != nil) != hasMessages else {
      throw .invalid("Either prompt or messages must be provided, not both.", "prompt")
    }
    let text: String
    if let prompt {
      text = prompt
    } else {
      text = try ChatPrompt.render(body, model: model, options: options)
    }
    let tokens = try model.encode(
      text, addsSpecialTokens: body["add_special_tokens"]?.bool ?? !hasMessages)
    var writer = JSONWriter()
    writer.beginObject()
    writer.member("count", tokens.count)
    writer.member("max_model_len", model.maxModelLength)
    writer.writeTokens("tokens", tokens)
    writer.key("token_strs")
    if body["return_token_strs"]?.bool ?? false {
      writer.beginArray()
      for token in tokens { writer.string(model.tokenizer.token(of: token) ?? "") }
      writer.endArray()
    } else {
      writer.null()
    }
    writer.endObject()
    return .json(bytes: writer.bytes)
  }

  func detokenize(_ body: JSONObject) throws(APIError) -> HTTPResponse {
    let model = try informationModel()
    try model.check(name: body["model"])
    try RequestSchemas.detokenize.validate(body)
    let tokens = try SamplingOptions.tokens(
      body["tokens"]?.array ?? [], model.service.information.vocabularySize, "tokens")
    return .json(["prompt": .string(model.tokenizer.decode(tokens))])
  }

  /// tokenizer_config.json with what it leaves to other files; clients find bos, eos and the template here.
  func tokenizerInformation() throws(APIError) -> HTTPResponse {
    guard options.offersTokenizerInformation else {
      throw APIError(404, .pathNotFound, "/tokenizer_info is turned off (--enable-tokenizer-info-endpoint).")
    }
    let tokenizer = try informationModel().tokenizer
    var information = tokenizer.configuration.object ?? [:]
    for (name, token) in [
      ("bos_token", tokenizer.bosToken), ("eos_token", tokenizer.eosToken), ("unk_token", tokenizer.unkToken),
      ("pad_token", tokenizer.padToken),
    ] where information[name]?.string == nil {
      information[name] = token.map { .string($0) } ?? .null
    }
    if information["tokenizer_class"] == nil { information["tokenizer_class"] = "PreTrainedTokenizerFast" }
    return .json(.object(information))
  }
}
