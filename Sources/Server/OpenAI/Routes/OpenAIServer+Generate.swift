internal import Generation
internal import Glibc
internal import JSON

extension OpenAIServer {
  /// /v1/completions and /v1/chat/completions.
  func generate(
    _ request: HTTPRequest, route: Route, id: String?, _ scope: RequestScope
  ) throws(APIError) -> HTTPResponse {
    let model = try servingModel()
    let plan = try plan(RequestBody.object(request), route: route, model: model)
    let identity = identity(for: plan, model: model, id: id)
    scope.beginGenerating()
    let run = try GenerationRun(plan, id: identity.id, model: model)
    scope.register(run)
    if plan.options.streams { return try stream(run, identity, request.client, scope) }
    return .json(bytes: try collect(run, identity, request.client).json)
  }

  /// The same without HTTP, for batches.
  func complete(_ body: JSONObject, route: Route, client: any HTTPClient) throws(APIError) -> (
    json: [UInt8], wasAborted: Bool
  ) {
    active.begin()
    var number: Int?
    defer { active.end(number) }
    if route == .embeddings { return (try embed(body, client: client, id: nil), false) }
    let model = try servingModel()
    let plan = try plan(body, route: route, model: model)
    let identity = identity(for: plan, model: model, id: nil)
    let run = try GenerationRun(plan, id: identity.id, model: model)
    number = active.register(run.streams)
    return try collect(run, identity, client)
  }

  func plan(_ body: JSONObject, route: Route, model: ServedModel) throws(APIError) -> GenerationPlan {
    var plan =
      route == .completions
      ? try CompletionRequest.plan(body, model: model, options: options)
      : try ChatRequest.plan(body, model: model, options: options)
    plan.adapter = model.adapter(body["model"])
    if let structure = plan.options.structure {
      plan.grammar = try model.grammar(structure.specification, structure.field)
    }
    return plan
  }

  func identity(for plan: GenerationPlan, model: ServedModel, id: String?) -> AnswerIdentity {
    let suffix = id ?? plan.options.requestID ?? Self.randomHex()
    return AnswerIdentity(
      id: (plan.form == .completion ? "cmpl-" : "chatcmpl-") + suffix, created: Self.now,
      model: plan.adapter?.name ?? model.name,
      fingerprint: fingerprint(model))
  }

  /// The whole answer, or the reason there is none.
  func collect(
    _ run: GenerationRun, _ identity: AnswerIdentity, _ client: any HTTPClient
  ) throws(APIError) -> (json: [UInt8], wasAborted: Bool) {
    var collector = AnswerCollector(run.plan)
    var nextLook = MonotonicClock.milliseconds + Int64(options.presenceIntervalMilliseconds)
    while !run.isOver {
      for update in run.next(timeoutMilliseconds: options.presenceIntervalMilliseconds) {
        collector.take(update)
      }
      if let failure = collector.failure {
        run.cancel()
        throw .generationFailed(failure)
      }
      let now = MonotonicClock.milliseconds
      if now >= nextLook, !run.isOver {
        nextLook = now + Int64(options.presenceIntervalMilliseconds)
        // Nothing can be written before the answer, so one who only closed its sending side can't be told from one who
        // left; proxies and other servers take both for gone.
        if client.presence != .present {
          run.cancel()
          throw .clientLeft
        }
      }
    }
    return (collector.json(identity, usage: run.usage), collector.wasAborted)
  }

  /// Sends the head only when there is something to say, so that a failure before the first token is a plain error.
  private func stream(
    _ run: GenerationRun, _ identity: AnswerIdentity, _ client: any HTTPClient, _ scope: RequestScope
  ) throws(APIError) -> HTTPResponse {
    let patience = Int64(options.pingIntervalMilliseconds ?? .max / 2_000_000)
    let start = MonotonicClock.milliseconds
    var backlog: [AnswerUpdate] = []
    while backlog.isEmpty, MonotonicClock.milliseconds - start < patience {
      backlog = run.next(timeoutMilliseconds: options.presenceIntervalMilliseconds)
      if backlog.isEmpty, client.presence != .present { break }
    }
    for update in backlog {
      if case .delta(_, _, let delta) = update, case .failed(let message) = delta.end {
        run.cancel()
        throw .generationFailed(message)
      }
    }
    return HTTPResponse(
      headers: [
        "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache",
        "X-Accel-Buffering": "no",
      ],
      stream: EventStream(run, identity, backlog: backlog, client: client, options: options, scope: scope))
  }

  /// Changes when anything changes that could change outputs.
  private func fingerprint(_ model: ServedModel) -> String {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in (model.root + "\n" + model.service.information.device).utf8 {
      hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
    }
    let digits = String(hash >> 32, radix: 16)
    return "gpuinfer-\(options.version)-" + String(repeating: "0", count: 8 - digits.count) + digits
  }

  static func randomHex() -> String {
    var generator = SystemRandomNumberGenerator()
    return (0..<2).map { _ in
      let digits = String(generator.next() as UInt64, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }.joined()
  }

  /// Unix seconds.
  static var now: Int { time(nil) }
}
