import Generation
import Glibc
import TestSupport
import Testing

@testable import Server

/// Produces the pieces it was given, then ends; remembers whether it was abandoned.
private final class ListProducer: HTTPBodyProducer, @unchecked Sendable {
  private var pieces: [[UInt8]]
  let isAbandoned: Monitor<Bool>
  let wait: (@Sendable (Int) -> Void)?
  private var produced = 0

  init(
    _ pieces: [[UInt8]], isAbandoned: Monitor<Bool> = Monitor(false), wait: (@Sendable (Int) -> Void)? = nil
  ) {
    self.pieces = pieces
    self.isAbandoned = isAbandoned
    self.wait = wait
  }

  func produce(into writer: consuming HTTPBodyWriter) -> HTTPBodyPiece {
    wait?(produced)
    produced += 1
    if pieces.isEmpty { return writer.end() }
    writer.write(pieces.removeFirst())
    return writer.flush()
  }

  func abandon() { isAbandoned.update { $0 = true } }
}

/// Writes for ever.
private final class EndlessProducer: HTTPBodyProducer, @unchecked Sendable {
  let isAbandoned: Monitor<Bool>

  init(isAbandoned: Monitor<Bool>) { self.isAbandoned = isAbandoned }

  func produce(into writer: consuming HTTPBodyWriter) -> HTTPBodyPiece {
    writer.write([UInt8](repeating: 65, count: 8192))
    return writer.flush()
  }

  func abandon() { isAbandoned.update { $0 = true } }
}

private func server(
  _ change: (inout HTTPServerOptions) -> Void = { _ in }, handler: @escaping HTTPHandler
) throws -> MicrohttpdServer {
  var options = HTTPServerOptions.timeless
  change(&options)
  return try MicrohttpdServer(options: options, handler: handler)
}

private let echo: HTTPHandler = { request in
  var lines = ["\(request.method) \(request.path)"]
  lines += request.query.map { "\($0.name)=\($0.value)" }
  lines += [request.headers["x-test"] ?? "-", "\(request.body.count)"]
  return .text(lines.joined(separator: "\n"))
}

@Suite("MicrohttpdServer")
struct MicrohttpdServerTests {
  @Test("A request's parts arrive decoded, header names in any case")
  func requestParts() throws {
    let server = try server(handler: echo)
    defer { server.stop() }
    let client = try RawClient(port: server.address.port)
    client.send("GET /a%20b/c?x=1&y=%26&z HTTP/1.1\r\nHost: h\r\nX-TEST: here\r\n\r\n")
    let response = try client.response()
    #expect(response.status == 200)
    #expect(response.text == "GET /a b/c\nx=1\ny=&\nz=\nhere\n0")
    #expect(response.headers["content-type"] == "text/plain; charset=utf-8")
  }

  @Test("Pipelined requests on one connection are answered in order")
  func pipelining() throws {
    let server = try server(handler: echo)
    defer { server.stop() }
    let client = try RawClient(port: server.address.port)
    var text = ""
    for index in 0..<20 {
      text += "POST /\(index) HTTP/1.1\r\nHost: h\r\nContent-Length: \(index)\r\n\r\n"
      text += String(repeating: "b", count: index)
    }
    client.send(text)
    for index in 0..<20 { #expect(try client.response().text == "POST /\(index)\n-\n\(index)") }
  }

  @Test("A chunked upload arrives whole")
  func chunkedUpload() throws {
    let server = try server { .text(String(decoding: $0.body, as: UTF8.self)) }
    defer { server.stop() }
    let client = try RawClient(port: server.address.port)
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    client.send("A;x=y\r\n0123456789\r\n0\r\n\r\n")
    #expect(try client.response().text == "abc0123456789")
  }

  @Test("A client that asks before sending its body is told to go on, or why not")
  func expectContinue() throws {
    let server = try server({ $0.maximumBodyBytes = 10 }, handler: echo)
    defer { server.stop() }
    let client = try RawClient(port: server.address.port)
    client.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    #expect(try client.head().status == 100)
    client.send("abc")
    #expect(try client.response().status == 200)

    let other = try RawClient(port: server.address.port)
    other.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n")
    #expect(try other.head().status == 413)
  }

  @Test("A body of exactly the limit passes, one byte more is answered with 413, with and without a length")
  func bodyLimit() throws {
    let server = try server({ $0.maximumBodyBytes = 100_000 }, handler: echo)
    defer { server.stop() }
    for (size, status) in [(100_000, 200), (100_001, 413), (1_000_000, 413)] {
      let client = try RawClient(port: server.address.port)
      client.send("POST", "/", body: [UInt8](repeating: 65, count: size))
      #expect(try client.response().status == status, "\(size) bytes")
      let chunked = try RawClient(port: server.address.port)
      chunked.send(
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\(String(size, radix: 16))\r\n")
      chunked.send([UInt8](repeating: 65, count: size))
      chunked.send("\r\n0\r\n\r\n")
      #expect(try chunked.response().status == status, "\(size) bytes in a chunk")
    }
  }

  @Test("A body far over the limit is not read to its end")
  func endlessBody() throws {
    let server = try server(
      {
        $0.maximumBodyBytes = 1000
        $0.maximumDiscardedBytes = 100_000
      }, handler: echo)
    defer { server.stop() }
    let client = try RawClient(port: server.address.port)
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    var accepted = 0
    while accepted < 100_000, client.send("4000\r\n" + String(repeating: "a", count: 0x4000) + "\r\n") {
      accepted += 1
    }
    #expect(accepted < 100_000)
  }

  @Test("A streamed body arrives as its pieces, whatever their size, and the connection can be used again")
  func streaming() throws {
    let pieces: [[UInt8]] = [
      [1], [UInt8](repeating: 2, count: 100_000), [3, 4], [UInt8](repeating: 5, count: 1023),
    ]
    let server = try server { request in
      request.path == "/stream" ? HTTPResponse(stream: ListProducer(pieces)) : .text("plain")
    }
    defer { server.stop() }
    let client = try RawClient(port: server.address.port)
    for _ in 0..<3 {
      client.send("GET", "/stream")
      #expect(try client.response().body == pieces.flatMap { $0 })
    }
    client.send("GET", "/plain")
    #expect(try client.response().text == "plain")
    client.send("HEAD", "/stream")
    #expect(try client.response(toHead: true).status == 200)
  }

  @Test("An HTTP/1.0 client gets a stream without chunks, ended by the connection's close")
  func streamingToOldClient() throws {
    let server = try server { _ in HTTPResponse(stream: ListProducer([[65, 66], [67]])) }
    defer { server.stop() }
    let client = try RawClient(port: server.address.port)
    client.send("GET / HTTP/1.0\r\n\r\n")
    let response = try client.response()
    #expect(response.text == "ABC")
    #expect(response.chunks == nil)
  }

  @Test("Each piece is sent at once, not held back for the next")
  func piecesAreNotHeldBack() throws {
    let permits = Monitor(0)
    let server = try server { _ in
      HTTPResponse(
        stream: ListProducer(
          [[65], [66], [67]],
          wait: { index in
            permits.wait(timeoutMilliseconds: Patience.milliseconds, until: { $0 >= index }, then: { _ in })
          }
        ))
    }
    defer { server.stop() }
    let client = try RawClient(port: server.address.port)
    client.send("GET", "/")
    _ = try client.head()
    for (index, letter) in [UInt8(65), 66, 67].enumerated() {
      #expect(try client.chunk() == [letter])
      permits.update { $0 = index + 1 }
    }
    #expect(try client.chunk().isEmpty)
  }

  @Test("A producer learns that its client left", arguments: [false, true])
  func clientLeaves(byReset: Bool) throws {
    let isAbandoned = Monitor(false)
    let server = try server { _ in HTTPResponse(stream: EndlessProducer(isAbandoned: isAbandoned)) }
    defer { server.stop() }
    let client = try RawClient(port: server.address.port)
    client.send("GET", "/")
    _ = try client.chunkHead()
    if byReset { client.reset() } else { client.close() }
    #expect(isAbandoned.wait(timeoutMilliseconds: Patience.milliseconds, until: { $0 }, then: { $0 }))
    #expect(server.waitUntilIdle(timeoutMilliseconds: Patience.milliseconds))
  }

  @Test("A waiting handler can see that its client finished sending, or left")
  func presence() throws {
    let seen = Monitor<[HTTPClientPresence]>([])
    let server = try server { request in
      seen.update { $0.append(request.client.presence) }
      var presence = HTTPClientPresence.present
      let end = MonotonicClock.milliseconds + Int64(Patience.milliseconds)
      while presence == .present, MonotonicClock.milliseconds < end { presence = request.client.presence }
      seen.update { $0.append(presence) }
      return .text("done")
    }
    defer { server.stop() }
    let halfClosed = try RawClient(port: server.address.port)
    halfClosed.send("GET", "/")
    #expect(
      seen.wait(timeoutMilliseconds: Patience.milliseconds, until: { $0.count == 1 }, then: { $0 }) == [
        .present
      ])
    halfClosed.finishSending()
    #expect(try halfClosed.response().text == "done")
    #expect(seen.withLock { $0 } == [.present, .finishedSending])

    let leaver = try RawClient(port: server.address.port)
    leaver.send("GET", "/")
    _ = seen.wait(timeoutMilliseconds: Patience.milliseconds, until: { $0.count == 3 }, then: { $0 })
    leaver.reset()
    #expect(
      seen.wait(timeoutMilliseconds: Patience.milliseconds, until: { $0.count == 4 }, then: { $0.last })
        == .gone)
  }

  @Test("A client too slow with its head, its body or the taking of an answer is cut off", arguments: 0..<4)
  func slowClients(phase: Int) throws {
    let isAbandoned = Monitor(false)
    let time = HandClock()
    let never = 1 << 40
    let server = try server(
      {
        $0.headTimeoutMilliseconds = phase == 0 ? 50 : never
        $0.bodyTimeoutMilliseconds = phase == 1 ? 50 : never
        $0.sendTimeoutMilliseconds = phase == 2 ? 50 : never
        $0.idleTimeoutMilliseconds = phase == 3 ? 50 : never
        $0.clock = MonotonicClock(now: time.now)
      }
    ) { request in
      request.path == "/endless"
        ? HTTPResponse(stream: EndlessProducer(isAbandoned: isAbandoned)) : .text("x")
    }
    defer { server.stop() }
    let client = try RawClient(port: server.address.port, receiveBufferBytes: phase == 2 ? 4096 : nil)
    switch phase {
    case 0: client.send("GET / HT")
    case 1: client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc")
    case 2:
      client.send("GET", "/endless")
      for _ in 0..<Patience.milliseconds / 5 {
        if isAbandoned.wait(timeoutMilliseconds: 5, until: { $0 }, then: { $0 }) { return }
        time.advance(0.1)
      }
      Issue.record("the stream went on")
      return
    default:
      client.send("GET", "/")
      #expect(try client.response().status == 200)
    }
    #expect(try client.isClosedByServer { time.advance(0.1) })
  }

  @Test("A handler may take longer than every timeout")
  func slowHandler() throws {
    let started = Monitor(false)
    let mayFinish = Monitor(false)
    let time = HandClock()
    let server = try server({
      $0.clock = MonotonicClock(now: time.now)
      $0.headTimeoutMilliseconds = 30
      $0.bodyTimeoutMilliseconds = 30
      $0.sendTimeoutMilliseconds = 30
      $0.idleTimeoutMilliseconds = 30
    }) { _ in
      started.update { $0 = true }
      mayFinish.wait(timeoutMilliseconds: Patience.milliseconds, until: { $0 }, then: { _ in })
      return .text("late")
    }
    defer { server.stop() }
    let client = try RawClient(port: server.address.port)
    client.send("GET", "/")
    #expect(started.wait(timeoutMilliseconds: Patience.milliseconds, until: { $0 }, then: { $0 }))
    // A client that comes later and is cut for its slowness shows that the timeouts have passed.
    let slow = try RawClient(port: server.address.port)
    slow.send("GET / HT")
    #expect(try slow.isClosedByServer { time.advance(0.1) })
    mayFinish.update { $0 = true }
    #expect(try client.response().text == "late")
  }

  @Test("Stopping to accept refuses new clients and lets running requests finish")
  func draining() throws {
    let started = Monitor(false)
    let mayFinish = Monitor(false)
    let server = try server { _ in
      started.update { $0 = true }
      mayFinish.wait(timeoutMilliseconds: Patience.milliseconds, until: { $0 }, then: { _ in })
      return .text("finished")
    }
    defer { server.stop() }
    let client = try RawClient(port: server.address.port)
    client.send("GET", "/")
    #expect(started.wait(timeoutMilliseconds: Patience.milliseconds, until: { $0 }, then: { $0 }))
    server.stopAccepting()
    #expect(throws: RawClient.Failure.self) { try RawClient(port: server.address.port) }
    #expect(!server.waitUntilIdle(timeoutMilliseconds: 10))
    mayFinish.update { $0 = true }
    #expect(try client.response().text == "finished")
    #expect(server.waitUntilIdle(timeoutMilliseconds: Patience.milliseconds))
  }

  @Test("Stopping ends streams and waits for their producers")
  func stopping() throws {
    let isAbandoned = Monitor(false)
    let server = try server { _ in HTTPResponse(stream: EndlessProducer(isAbandoned: isAbandoned)) }
    let client = try RawClient(port: server.address.port)
    client.send("GET", "/")
    _ = try client.chunkHead()
    server.stop()
    #expect(isAbandoned.withLock { $0 })
    #expect(server.activeRequests == 0)
    server.stop()
  }

  @Test("A port in use and an unknown host are refused by name")
  func listeningFails() throws {
    let server = try server(handler: echo)
    defer { server.stop() }
    let port = server.address.port
    #expect(throws: HTTPServerError.cannotListen(server.address, reason: "Address already in use")) {
      try MicrohttpdServer(options: options(host: "127.0.0.1", port: port), handler: echo)
    }
    #expect(throws: HTTPServerError.self) {
      try MicrohttpdServer(options: options(host: "no such host", port: 0), handler: echo)
    }
    #expect(throws: HTTPServerError.self) {
      try MicrohttpdServer(options: options(host: "127.0.0.1", port: 70_000), handler: echo)
    }
  }

  private func options(host: String, port: Int) -> HTTPServerOptions {
    var options = HTTPServerOptions()
    options.host = host
    options.port = port
    return options
  }

  @Test("A thousand clients wait at once")
  func thousandStreams() throws {
    let go = Monitor(false)
    let waiting = Monitor(0)
    let server = try server({ $0.threadStackBytes = 256 << 10 }) { _ in
      HTTPResponse(
        stream: ListProducer(
          [[65]],
          wait: { index in
            if index > 0 { return }
            waiting.update { $0 += 1 }
            go.wait(timeoutMilliseconds: Patience.milliseconds, until: { $0 }, then: { _ in })
          }))
    }
    defer { server.stop() }
    let clients = try (0..<1000).map { _ in try RawClient(port: server.address.port) }
    for client in clients { client.send("GET", "/") }
    #expect(
      waiting.wait(timeoutMilliseconds: Patience.milliseconds, until: { $0 == 1000 }, then: { $0 }) == 1000)
    go.update { $0 = true }
    for client in clients { #expect(try client.response().text == "A") }
  }
}

extension RawClient {
  fileprivate func chunkHead() throws -> [UInt8] {
    _ = try head()
    return try chunk()
  }
}
