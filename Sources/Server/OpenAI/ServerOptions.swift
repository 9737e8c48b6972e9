package import Generation

/// How the OpenAI API behaves; `gpuinfer serve` fills this from its flags.
package struct ServerOptions: Sendable {
  /// Any of these opens every route but /health and /ready; empty asks for none. (`--api-key`)
  package var apiKeys: [String] = []
  /// `*`, or origins that browsers may call from; empty sends no CORS headers. (`--allowed-origins`)
  package var allowedOrigins: [String] = []
  /// (`--max-logprobs`)
  package var maximumLogprobs = 20
  /// Requests may bring their own template. (`--trust-request-chat-template`)
  package var trustsRequestChatTemplates = false
  /// Requests may set `priority`. (`--scheduling-policy priority`)
  package var usesPriorities = false
  /// How the states of a text become its embedding. (`--pooling`)
  package var pooling = EmbeddingPooling.last
  /// Clients may load and unload adapters. (`--allow-runtime-lora-updating`)
  package var allowsAdapterUpdates = false
  /// Every stream ends with its usage. (`--enable-force-include-usage`)
  package var forcesUsageInStreams = false
  /// Sends `X-Request-Id` back. (`--enable-request-id-headers`)
  package var echoesRequestID = true
  /// GET /tokenizer_info. (`--enable-tokenizer-info-endpoint`)
  package var offersTokenizerInformation = true
  /// Silence after which a stream gets the comment `: ping`, so that proxies keep it open; nil sends none.
  package var pingIntervalMilliseconds: Int? = 15_000
  /// How often a waiting handler looks whether its client is still there.
  package var presenceIntervalMilliseconds = 100
  /// How the model writes calls of tools. (`--tool-call-parser`)
  package var toolDialect: ToolDialect?
  /// Requests with tools may leave it to the model whether it calls one. (`--enable-auto-tool-choice`)
  package var enablesAutoToolChoice = false
  /// Goes into `system_fingerprint` and /version.
  package var version = "0.1.0"

  package init() {}
}
