internal import Generation
internal import JSON
internal import Models

/// What `run` was asked for; what it was not asked for comes from the model.
struct RunSettings {
  var maxTokens: Int
  var temperature: Float?
  var topP: Float?
  var topK: Int?
  var minP: Float?
  var seed: UInt64?
  var stop: [String]
  var ignoresEndOfText: Bool
  var chats: Bool
  var printsJSON: Bool

  init(_ arguments: ParsedArguments) throws(UsageError) {
    maxTokens = try arguments.integer("--max-tokens", in: 1...(1 << 30)) ?? 128
    temperature = try arguments.number("--temperature", in: 0...2).map { Float($0) }
    topP = try arguments.number("--top-p", in: 0.000001...1).map { Float($0) }
    topK = try arguments.integer("--top-k", in: 0...(1 << 30))
    minP = try arguments.number("--min-p", in: 0...1).map { Float($0) }
    seed = try arguments.integer("--seed", in: 0...Int.max).map { UInt64($0) }
    stop = arguments.strings("--stop")
    ignoresEndOfText = arguments.has("--ignore-eos")
    chats = arguments.has("--chat")
    printsJSON = arguments.has("--json")
  }

  func request(prompt: [Int32], host: EngineHost) -> GenerationRequest {
    let room = host.reservation.limits.maxModelLength - prompt.count
    var conditions = StopConditions(maxTokens: max(1, min(maxTokens, room)))
    conditions.endOfTextTokens = host.model.defaults.endOfTextTokens
    conditions.ignoreEndOfText = ignoresEndOfText
    var request = GenerationRequest(id: "run", prompt: prompt, stop: conditions)
    request.sampling = host.model.defaults.sampling
    request.sampling.temperature = temperature ?? request.sampling.temperature
    request.sampling.topP = topP ?? request.sampling.topP
    request.sampling.topK = topK ?? request.sampling.topK
    request.sampling.minP = minP ?? request.sampling.minP
    request.sampling.seed = seed
    return request
  }
}

/// One finished generation.
struct Completion {
  var text = ""
  var prompt: [Int32]
  var tokens: [Int32] = []
  var finishReason = "length"
  var firstTokenSeconds = 0.0
  var totalSeconds = 0.0

  /// Generates, handing text to `show` as it comes, until `isStopped`.
  static func run(
    _ prompt: [Int32], _ settings: RunSettings, _ host: EngineHost, show: (String) -> Void,
    isStopped: () -> Bool = { false }
  ) throws -> Completion {
    let request = settings.request(prompt: prompt, host: host)
    var options = TextOptions()
    options.stopStrings = settings.stop
    options.setEndTokens(request.stop)
    var assembler = TextAssembler(host.model.tokenizer, options)
    var completion = Completion(prompt: prompt)
    let started = ContinuousClock.now
    let stream = try host.engine.submit(request)
    while let events = stream.next(timeoutMilliseconds: nil) {
      if isStopped() { stream.cancel() }
      for event in events {
        switch event {
        case .prompt, .embedding, .speculation: continue
        case .token(_, let token, let logprobs):
          if assembler.end != nil { continue }
          if completion.tokens.isEmpty {
            completion.firstTokenSeconds = started.duration(to: .now) / .seconds(1)
          }
          completion.tokens.append(token)
          let delta = assembler.append(token, logprobs: logprobs)
          completion.take(delta, show)
          if delta.end != nil { stream.finish(choice: 0) }
        case .finished(_, let reason):
          completion.take(assembler.finish(reason), show)
        }
      }
    }
    completion.totalSeconds = started.duration(to: .now) / .seconds(1)
    if case .failed(let reason)? = assembler.end { throw Failure(.internalError, reason) }
    return completion
  }

  private mutating func take(_ delta: TextDelta, _ show: (String) -> Void) {
    if !delta.text.isEmpty { show(delta.text) }
    text += delta.text
    switch delta.end {
    case .endOfText, .stopToken, .stopString: finishReason = "stop"
    case .aborted: finishReason = "abort"
    case .length, .failed, nil: break
    }
  }

  var json: String {
    var writer = JSONWriter()
    writer.beginObject()
    writer.member("text", text)
    writer.member("finish_reason", finishReason)
    for (name, ids) in [("prompt_token_ids", prompt), ("token_ids", tokens)] {
      writer.key(name)
      writer.beginArray()
      for id in ids { writer.integer(id) }
      writer.endArray()
    }
    writer.member("time_to_first_token_seconds", firstTokenSeconds)
    writer.member("tokens_per_second", Double(tokens.count) / max(totalSeconds, 1e-9))
    writer.endObject()
    return String(decoding: writer.bytes, as: UTF8.self) + "\n"
  }
}
