import JSON
import TestSupport
import Testing

@testable import Generation
@testable import Server

@Suite("Life cycle")
struct LifecycleTests {
  private let quick = with(ServerOptions()) { $0.presenceIntervalMilliseconds = 5 }
  private let body = Array(#"{"prompt":[5],"max_tokens":100}"#.utf8)
  private let streamBody = Array(#"{"prompt":[5],"max_tokens":100,"stream":true}"#.utf8)

  @Sendable private static func waiting(_ request: GenerationRequest) -> FakeStream {
    FakeStream(isComplete: false)
  }

  enum Leaving: CaseIterable { case close, reset, finishSending }

  @Test(
    "A client that leaves before the first token, or in the middle, frees its request",
    arguments: [false, true], Leaving.allCases)
  func disconnect(streams: Bool, leaving: Leaving) throws {
    for startsFirst in [false, true] {
      let api = try TestAPI(.socket, options: quick, script: Self.waiting)
      let client = try api.connect()
      client.send("POST", "/v1/completions", body: streams ? streamBody : body)
      let stream = try #require(api.service.submissions(count: 1).first?.stream)
      if startsFirst {
        stream.push(.prompt(cachedTokens: 0, logprobs: nil), .token(choice: 0, token: 100, logprobs: nil))
        if streams {
          _ = try client.head()
          _ = try client.chunk()
        }
      }
      switch leaving {
      case .close: client.close()
      case .reset: client.reset()
      case .finishSending:
        client.finishSending()
        if streams {
          // It reads on, so it is still there.
          stream.push(.finished(choice: 0, reason: .length), isComplete: true)
          if !startsFirst { #expect(try client.head().status == 200) }
          var text = ""
          while case let chunk = try client.chunk(), !chunk.isEmpty {
            text += String(decoding: chunk, as: UTF8.self)
          }
          #expect(text.hasSuffix("data: [DONE]\n\n"))
          #expect(!stream.isCancelled)
          continue
        }
      }
      #expect(stream.waitUntilCancelled())
      #expect(api.api.active.waitUntilNone(timeoutMilliseconds: Patience.milliseconds))
    }
  }

  @Test("A client that leaves is noticed while tokens come that show no text")
  func disconnectWithoutText() throws {
    let stream = FakeStream(isComplete: false)
    let api = try TestAPI(.socket, options: quick, script: { _ in stream })
    let client = try api.connect()
    client.send("POST", "/v1/completions", body: streamBody)
    _ = api.service.submissions(count: 1)
    stream.push(.prompt(cachedTokens: 0, logprobs: nil), .token(choice: 0, token: 100, logprobs: nil))
    _ = try client.head()
    _ = try client.chunk()
    client.close()
    // Special tokens, one after the other, until the request is cancelled.
    let limit = MonotonicClock.milliseconds + Int64(Patience.milliseconds)
    while !stream.isCancelled, MonotonicClock.milliseconds < limit {
      stream.push(.token(choice: 0, token: 3, logprobs: nil))
    }
    #expect(stream.isCancelled)
  }

  @Test(
    "A thousand requests cancelled at once leave nothing behind, and the server answers")
  func massCancellation() throws {
    // A thousand threads that look for their client every 5 ms would leave a sanitized build little else to do.
    let options = with(ServerOptions()) { $0.presenceIntervalMilliseconds = 100 }
    let api = try TestAPI(.socket, options: options, script: Self.waiting)
    let clients = try (0..<1000).map { _ in try api.connect() }
    for (index, client) in clients.enumerated() {
      client.send("POST", "/v1/completions", body: index % 2 == 0 ? body : streamBody)
    }
    #expect(api.service.submissions(count: 1000).count == 1000)
    #expect(try api.get("/load").json["server_load"] == 1000)
    for client in clients { client.close() }
    for submission in api.service.submissions { #expect(submission.stream.waitUntilCancelled()) }
    #expect(api.api.active.waitUntilNone(timeoutMilliseconds: Patience.milliseconds))
    #expect(try api.get("/load").json["server_load"] == 0)
    #expect(try api.get("/health").status == 200)
  }

  @Test("A key opens every route but the probes", arguments: Route.allCases)
  func keys(_ route: Route) throws {
    let api = try TestAPI(options: with(ServerOptions()) { $0.apiKeys = ["secret", "other"] })
    let path = route == .model ? "/v1/models/demo" : route.template
    for method in route.methods {
      func ask(_ headers: [(String, String)]) throws -> TestAPI.Answer {
        try api.ask(
          method, path, body: Array(JSONValue.object(FieldCase.body(route)).serialized().utf8),
          headers: headers)
      }
      for headers in [
        [], [("Authorization", "Bearer wrong")], [("Authorization", "secret")],
        [("Authorization", "Bearer ")],
        [("X-Api-Key", "secre")], [("Authorization", "Basic secret")],
      ] {
        let answer = try ask(headers)
        #expect(answer.status == (route.isOpen ? 200 : 401), "\(headers)")
        if !route.isOpen {
          #expect(answer.json["error"]?["type"] == "AuthenticationError")
          #expect(answer.headers["WWW-Authenticate"] == "Bearer")
        }
      }
      // Adapters cannot be changed here and nothing is kept, which only who has a key is told.
      let status = [.loadAdapter, .unloadAdapter].contains(route) || route.needsState ? 404 : 200
      #expect(try ask([("Authorization", "Bearer secret")]).status == status)
      #expect(try ask([("authorization", "bearer other")]).status == status)
      #expect(try ask([("X-Api-Key", "other")]).status == status)
    }
    #expect(Route.allCases.filter(\.isOpen) == [.health, .ready])
    #expect(try api.get("/no/such/path").status == 401)
  }

  @Test("Loading, serving, draining, failed and dead each have their answers")
  func states() throws {
    let model = try TestAPI().model
    let api = OpenAIServer(options: ServerOptions())
    func status(_ path: String) -> Int { api.handle(HTTPRequest(method: "GET", path: path)).status }
    func complete() -> Int {
      api.handle(
        HTTPRequest(
          method: "POST", path: "/v1/completions", headers: ["Content-Type": "application/json"],
          body: Array(#"{"prompt":[5]}"#.utf8))
      ).status
    }
    #expect([status("/health"), status("/ready"), status("/v1/models"), complete()] == [200, 503, 503, 503])
    #expect(status("/metrics") == 200)
    api.serve(model)
    #expect([status("/health"), status("/ready"), status("/v1/models"), complete()] == [200, 200, 200, 200])
    api.beginDrain()
    #expect([status("/health"), status("/ready"), status("/v1/models"), complete()] == [200, 503, 200, 503])
    api.serve(model)
    #expect(status("/ready") == 503)

    let failed = OpenAIServer(options: ServerOptions())
    failed.fail("no such file")
    let answer = failed.handle(HTTPRequest(method: "GET", path: "/health"))
    #expect(answer.status == 503)

    let dead = try TestAPI()
    dead.service.setStatistics { $0.isAlive = false }
    #expect(try dead.get("/health").status == 503)
    #expect(try dead.get("/ready").status == 503)
    #expect(try dead.get("/ping").status == 503)
  }

  @Test("A drain lets running requests finish while new ones are refused")
  func drain() throws {
    let api = try TestAPI(.socket, options: quick, script: Self.waiting)
    let server = try MicrohttpdServer(options: .timeless) { [api = api.api] in api.handle($0) }
    let client = try RawClient(port: server.address.port)
    client.send("POST", "/v1/completions", body: body)
    let stream = try #require(api.service.submissions(count: 1).first?.stream)
    let result = Monitor<Bool?>(nil)
    let thread = Thread { [api = api.api] in
      let isDrained = GracefulShutdown.run(api, server, timeoutMilliseconds: Patience.milliseconds)
      result.update { $0 = isDrained }
    }
    var refused = 0
    while refused != 503 {
      let other = try RawClient(port: server.address.port)
      other.send("GET", "/ready")
      refused = try other.response().status
    }
    let other = try RawClient(port: server.address.port)
    other.send("POST", "/v1/completions", body: body)
    let response = try other.response()
    #expect(response.status == 503)
    #expect(response.headers["Retry-After"] != nil)
    #expect(result.withLock { $0 } == nil)
    stream.push(
      .prompt(cachedTokens: 0, logprobs: nil), .token(choice: 0, token: 100, logprobs: nil),
      .finished(choice: 0, reason: .length), isComplete: true)
    #expect(try client.response().status == 200)
    #expect(
      result.wait(timeoutMilliseconds: Patience.milliseconds, until: { $0 != nil }, then: { $0 }) == true)
    if let thread { thread.join() }
    #expect(throws: RawClient.Failure.self) { try RawClient(port: server.address.port) }
  }

  @Test("A drain that runs out of time ends what runs, with what it has")
  func hardStop() throws {
    let api = try TestAPI(.socket, options: quick, script: Self.waiting)
    let server = try MicrohttpdServer(options: .timeless) { [api = api.api] in api.handle($0) }
    let clients = try [body, streamBody].map { body in
      let client = try RawClient(port: server.address.port)
      client.send("POST", "/v1/completions", body: body)
      return client
    }
    for submission in api.service.submissions(count: 2) {
      submission.stream.push(
        .prompt(cachedTokens: 0, logprobs: nil), .token(choice: 0, token: 100, logprobs: nil))
    }
    #expect(
      !GracefulShutdown.run(
        api.api, server, timeoutMilliseconds: 20, flushMilliseconds: Patience.milliseconds))
    let whole = try clients[0].response()
    #expect(whole.status == 200)
    #expect(try JSONValue.parse(whole.text)["choices"]?[0]?["finish_reason"] == "abort")
    let streamed = try clients[1].response()
    #expect(streamed.text.contains(#""finish_reason":"abort""#))
    #expect(streamed.text.hasSuffix("data: [DONE]\n\n"))
  }

  @Test("A body over the limit is told in the API's own words")
  func largeBody() throws {
    let api = try TestAPI(.socket, changeHTTP: { $0.maximumBodyBytes = 1000 })
    let answer = try api.ask("POST", "/v1/completions", body: [UInt8](repeating: 32, count: 5000))
    #expect(answer.status == 413)
    #expect(answer.json["error"]?["code"] == 413)
    #expect(answer.json["error"]?["type"] == "RequestEntityTooLargeError")
  }
}
