internal import Generation
internal import Glibc
internal import Server

/// `gpuinfer serve`: a model behind the OpenAI API.
enum ServeCommand: Command {
  static let specification = CommandSpecification(
    name: "serve", summary: "Serve a model with the OpenAI API.", positionals: [.model],
    options: [
      .value("--host", "HOST", default: "127.0.0.1", "Where to listen; 0.0.0.0 is every interface."),
      .value("--port", "PORT", default: "8000", "0 takes a free one."),
      .repeated("--api-key", "KEY", "Ask for this key on every route but /health and /ready."),
      .repeated("--served-model-name", "NAME", "The model's name in the API."),
      .value("--max-logprobs", "N", default: "20", "Most alternatives a request may ask for."),
      .flag("--trust-request-chat-template", "Let requests bring a chat template of their own."),
      .flag(
        "--allow-runtime-lora-updating",
        "Let clients load and unload adapters (also VLLM_ALLOW_RUNTIME_LORA_UPDATING=1)."),
      .flag("--enable-force-include-usage", "End every stream with its usage."),
      .repeated("--allowed-origins", "ORIGIN", "Let browsers call from this origin; * is every one."),
      .value(
        "--pooling", "HOW", default: "last",
        "last or mean: how the states of a text become its embedding in /v1/embeddings."),
      .value("--max-body-bytes", "SIZE", default: "32MiB", "Longer requests are refused with 413."),
      .value(
        "--state-dir", "DIR",
        "Where files and batches (/v1/files, /v1/batches) are kept, across restarts; without it there are none."
      ),
      .value("--batch-concurrency", "N", default: "32", "Requests of batches in the engine at one time."),
      .value("--max-connections", "N", default: "4096", "Connections held at once."),
      .value(
        "--sse-ping-interval", "S", default: "15",
        "Seconds of silence before a stream gets a comment; 0: never."),
      .value(
        "--drain-timeout", "S", aliases: ["--shutdown-timeout"], default: "30",
        "Seconds that running requests may take to end after SIGTERM."),
    ] + ToolFlags.options + EngineFlags.options,
    discussion: """
      SIGTERM and SIGINT turn /ready off, let running requests finish and end with exit code 0; a second signal
      ends at once.
      """)

  static func run(_ arguments: ParsedArguments) throws {
    var http = HTTPServerOptions()
    http.host = arguments.string("--host") ?? http.host
    http.port = try arguments.integer("--port", in: 0...65535) ?? http.port
    http.maximumBodyBytes = try arguments.byteCount("--max-body-bytes") ?? http.maximumBodyBytes
    http.maximumConnections =
      try arguments.integer("--max-connections", in: 1...1_000_000) ?? http.maximumConnections
    let drainSeconds = try arguments.number("--drain-timeout", in: 0...86_400) ?? 30
    let options = try serverOptions(arguments)
    let path = try ModelPath.resolve(arguments.positional(0))

    // Before any thread starts, so that all inherit it and only this one takes the signals.
    let signals = TerminationSignals()
    let started = ContinuousClock.now
    // The socket first: a taken port is known at once, and probes see /health while the model loads.
    let state = try arguments.string("--state-dir").map { try ServerState(directory: $0) }
    let batchConcurrency = try arguments.integer("--batch-concurrency", in: 1...100_000) ?? 32
    let api = OpenAIServer(options: options, state: state)
    let server = try MicrohttpdServer(options: http, refusal: api.refuse) { api.handle($0) }
    defer { server.stop() }
    let host = try EngineHost(arguments, path: path, names: arguments.strings("--served-model-name"))
    api.serve(host.served)
    guard api.startBatches(concurrency: batchConcurrency, log: { Console.error($0) }) else {
      throw Failure(.unavailable, "no thread could be started for the batches")
    }
    let milliseconds = Int(started.duration(to: .now) / .milliseconds(1))
    announce(host, server.address, milliseconds, apiKey: options.apiKeys.first)

    signals.wait()
    Console.error("draining: \(api.activeRequests) requests may finish within \(fixed(drainSeconds, 0)) s")
    signals.exitOnNext()
    // Their answers are on disk, and the next server goes on with the rest.
    api.stopBatches()
    let finished = GracefulShutdown.run(api, server, timeoutMilliseconds: Int(drainSeconds * 1000))
    host.engine.stop()
    if let report = host.speculationReport { Console.error(report) }
    Console.error(finished ? "stopped" : "stopped; requests that were still running were aborted")
  }

  private static func serverOptions(_ arguments: ParsedArguments) throws -> ServerOptions {
    var options = ServerOptions()
    options.apiKeys = arguments.strings("--api-key")
    if options.apiKeys.isEmpty, let key = unsafe getenv("GPUINFER_API_KEY") {
      options.apiKeys = [unsafe String(cString: key)]
    }
    options.allowedOrigins = arguments.strings("--allowed-origins")
    options.maximumLogprobs =
      try arguments.integer("--max-logprobs", in: 0...1_000_000) ?? options.maximumLogprobs
    options.trustsRequestChatTemplates = arguments.has("--trust-request-chat-template")
    options.allowsAdapterUpdates =
      arguments.has("--allow-runtime-lora-updating") || isSet("VLLM_ALLOW_RUNTIME_LORA_UPDATING")
    options.pooling = try arguments.choice("--pooling", as: EmbeddingPooling.self) ?? options.pooling
    options.forcesUsageInStreams = arguments.has("--enable-force-include-usage")
    options.usesPriorities = arguments.string("--scheduling-policy") == "priority"
    if let seconds = try arguments.number("--sse-ping-interval", in: 0...86_400) {
      options.pingIntervalMilliseconds = seconds > 0 ? Int(seconds * 1000) : nil
    }
    try ToolFlags.apply(arguments, to: &options)
    options.version = Main.version
    return options
  }

  /// What vLLM takes for yes in a variable of the environment.
  private static func isSet(_ variable: String) -> Bool {
    guard let value = unsafe getenv(variable) else { return false }
    return ["1", "true"].contains(unsafe String(cString: value).lowercased())
  }

  private static func announce(
    _ host: EngineHost, _ address: HTTPAddress, _ milliseconds: Int, apiKey: String?
  ) {
    let authorization = apiKey == nil ? "" : " -H 'Authorization: Bearer YOUR_KEY'"
    Console.error(
      """
      \(host.memorySummary)
      \(host.served.defaultsSummary)
      ready in \(milliseconds) ms on \(host.engine.information.device): \(host.served.name), listening on http://\(address)

        curl http://\(address)/v1/completions\(authorization) -H 'Content-Type: application/json' \\
          -d '{"prompt": "The boy looked up and", "max_tokens": 32}'

      """)
  }
}
