internal import Generation
internal import JSON

/// The OpenAI API over one model. `handle` is a plain function of a request: no socket is needed to test it.
///
/// ```
/// loading ──serve──▶ serving ──beginDrain──▶ draining       /health  200  200  200   (503: the engine died)
///    └─────────fail─────────▶ failed                        /ready   503  200  503
/// ```
package final class OpenAIServer: Sendable {
  private enum State: Sendable {
    case loading
    case serving(ServedModel)
    case draining(ServedModel?)
    case failed(String)
  }
  package let options: ServerOptions
  private let phase = Monitor(State.loading)
  let active = ActiveRequests()
  let metrics = HTTPMetrics()

  /// Files and batches; nil where the server keeps none.
  let state: ServerState?
  private let queue = Monitor<BatchQueue?>(nil)

  package init(options: ServerOptions, state: ServerState? = nil) {
    self.options = options
    self.state = state
  }

  package convenience init(
    _ model: ServedModel, options: ServerOptions = ServerOptions(), state: ServerState? = nil
  ) {
    self.init(options: options, state: state)
    serve(model)
  }

  // MARK: Life cycle

  /// The model is loaded: requests are taken from now on.
  package func serve(_ model: ServedModel) {
    phase.withLock { if case .loading = $0 { $0 = .serving(model) } }
  }

  /// Works on the batches, those that earlier servers left included.
  ///
  /// - Parameters:
  ///   - concurrency: requests of batches in the engine at one time.
  ///   - log: told what nobody asked for would see.
  /// - Returns: false where the system gives no thread.
  package func startBatches(concurrency: Int, log: @escaping @Sendable (String) -> Void) -> Bool {
    guard let state, let model = knownModel else { return true }
    let started = BatchQueue(state, model, options, concurrency: concurrency, log: log)
    queue.withLock { $0 = started }
    return started.start()
  }

  /// Stops working on batches; what is not answered is left for the next server. Idempotent.
  package func stopBatches() { queue.withLock { $0 }?.stop() }

  var batchQueue: BatchQueue? { queue.withLock { $0 } }

  /// Loading failed; every request is told so.
  package func fail(_ reason: String) { phase.withLock { $0 = .failed(reason) } }

  /// Turns /ready off and refuses new work; what runs goes on. Idempotent.
  package func beginDrain() {
    phase.withLock {
      switch $0 {
      case .loading: $0 = .draining(nil)
      case .serving(let model): $0 = .draining(model)
      case .draining, .failed: break
      }
    }
  }

  /// Ends every running request; its client gets what was generated, with `finish_reason` abort.
  package func cancelAll() { active.cancelAll() }

  /// Answers of the model that are under way.
  package var activeRequests: Int { active.count }

  /// The model, for work; throws while there is none to be had.
  func servingModel() throws(APIError) -> ServedModel {
    switch phase.withLock({ $0 }) {
    case .serving(let model): return model
    case .loading:
      throw APIError(503, .unavailable, "The model is still being loaded.", retryAfterSeconds: 1)
    case .draining: throw .draining
    case .failed(let reason): throw APIError(503, .unavailable, "The model could not be loaded: \(reason)")
    }
  }

  /// The model, for information, also while draining.
  var knownModel: ServedModel? {
    switch phase.withLock({ $0 }) {
    case .serving(let model): model
    case .draining(let model): model
    case .loading, .failed: nil
    }
  }

  /// Why the process should be restarted; nil while it works, loads or drains.
  var failure: String? {
    if case .failed(let reason) = phase.withLock({ $0 }) { return reason }
    guard let model = knownModel else { return nil }
    return model.service.statistics().isAlive ? nil : "The engine has stopped."
  }

  // MARK: Requests

  package func handle(_ request: HTTPRequest) -> HTTPResponse {
    let scope = RequestScope(method: request.method, metrics: metrics, active: active)
    var response: HTTPResponse
    do {
      response = try answer(request, scope)
    } catch {
      response = error.response
    }
    if options.echoesRequestID, let id = requestID(request) { response.headers["X-Request-Id"] = id }
    LoadHeader.add(to: &response, request: request, model: knownModel)
    CORS.addHeaders(to: &response, request: request, allowed: options.allowedOrigins)
    if case .bytes = response.body { scope.end(status: response.status) }
    return response
  }

  /// What the HTTP layer refuses by itself, worded like every other error.
  @Sendable package func refuse(_ refusal: HTTPRefusal) -> HTTPResponse {
    APIError(refusal.status, .bodyTooLarge, refusal.message).response
  }

  /// A caller's own id, when it is fit for a header.
  private func requestID(_ request: HTTPRequest) -> String? {
    guard let id = request.headers["X-Request-Id"], !id.isEmpty, id.utf8.count <= 256,
      id.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
    else { return nil }
    return id
  }

  private func answer(_ request: HTTPRequest, _ scope: RequestScope) throws(APIError) -> HTTPResponse {
    guard let (route, parameter) = Route.match(request.path) else {
      try authenticate(request)
      throw APIError(404, .pathNotFound, "There is nothing at \(request.method) \(request.path.prefix(200)).")
    }
    scope.handler = route.template
    let allowed = (route.methods.contains("GET") ? ["HEAD"] : []) + route.methods + ["OPTIONS"]
    if request.method == "OPTIONS" {
      return HTTPResponse(status: 204, headers: ["Allow": allowed.joined(separator: ", ")])
    }
    if !route.isOpen { try authenticate(request) }
    guard allowed.contains(request.method) else {
      var response = APIError(
        405, .methodNotAllowed, "\(route.template) takes \(route.methods.joined(separator: " and "))."
      ).response
      response.headers["Allow"] = allowed.joined(separator: ", ")
      return response
    }
    switch route {
    case .completions, .chatCompletions:
      return try generate(request, route: route, id: requestID(request), scope)
    case .embeddings:
      scope.beginGenerating()
      return .json(
        bytes: try embed(RequestBody.object(request), client: request.client, id: requestID(request)))
    case .models: return try models()
    case .model: return try model(named: parameter)
    case .loadAdapter, .unloadAdapter: return try changeAdapters(request, route)
    case .files, .file, .fileContent: return try answerFiles(request, route, parameter, scope)
    case .batches, .batch, .batchCancel: return try answerBatches(request, route, parameter)
    case .tokenize: return try tokenize(RequestBody.object(request))
    case .detokenize: return try detokenize(RequestBody.object(request))
    case .tokenizerInformation: return try tokenizerInformation()
    case .health, .ping: return health()
    case .ready: return try ready()
    case .version: return .json(["version": .string(options.version)])
    case .load: return .json(["server_load": .integer(Int64(active.count))])
    case .metrics: return metricsText()
    case .openAPI: return .json(OpenAPIDocument.make(version: options.version))
    }
  }

  private func authenticate(_ request: HTTPRequest) throws(APIError) {
    if options.apiKeys.isEmpty { return }
    if let key = APIKey.presented(by: request), options.apiKeys.contains(where: { APIKey.isSame($0, key) }) {
      return
    }
    throw APIError(
      401, .unauthorized,
      "Missing or wrong API key. Send one of this server's keys in the header `Authorization: Bearer KEY`.")
  }
}
