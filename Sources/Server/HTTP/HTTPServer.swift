package import Generation

/// Answers requests on a socket. Knows nothing of what is served.
package protocol HTTPServer: AnyObject, Sendable {
  /// Where it listens; the port is the one the system gave when 0 was asked for.
  var address: HTTPAddress { get }
  /// Requests whose answer has not been sent completely.
  var activeRequests: Int { get }
  /// New connections are refused from now on; open ones go on. Idempotent.
  func stopAccepting()
  /// Waits until no request is active; false when the time ran out first.
  func waitUntilIdle(timeoutMilliseconds: Int) -> Bool
  /// Closes every connection, waits for the handlers to return, and frees the socket. Idempotent.
  func stop()
}

/// Answers one request; called on the connection's own thread, many at a time, and may block.
package typealias HTTPHandler = @Sendable (HTTPRequest) -> HTTPResponse

package struct HTTPAddress: Sendable, Equatable, CustomStringConvertible {
  package var host: String
  package var port: Int

  package init(host: String, port: Int) {
    self.host = host
    self.port = port
  }

  package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

package struct HTTPServerOptions: Sendable {
  /// A name or an address; an empty one is every interface.
  package var host = "127.0.0.1"
  /// 0 lets the system choose.
  package var port = 8000
  package var maximumConnections = 4096
  /// Longer bodies are answered with 413. 1,024 prompts of 2,048 tokens written out take about 14 MiB.
  package var maximumBodyBytes = 32 << 20
  /// A body over the limit is still read, and thrown away, up to this size, so that its sender gets to see the 413;
  /// past it the connection is closed.
  package var maximumDiscardedBytes = 1 << 30
  /// For a new connection to send a request's head.
  package var headTimeoutMilliseconds = 30_000
  /// For a body to arrive, and one second more for every 64 KiB that came: slower senders are cut off.
  package var bodyTimeoutMilliseconds = 30_000
  /// Between two requests on a connection.
  package var idleTimeoutMilliseconds = 75_000
  /// For a client to take what was written to it, and one second more for every 64 KiB.
  package var sendTimeoutMilliseconds = 60_000
  /// What these timeouts are counted on.
  package var clock = MonotonicClock.system
  /// Address space, not memory, of a connection's thread. Decoding nested JSON recurses.
  package var threadStackBytes = 1 << 20

  package init() {}
}

package enum HTTPServerError: Error, Equatable, Sendable, CustomStringConvertible {
  case unknownHost(String, reason: String)
  case cannotListen(HTTPAddress, reason: String)
  case cannotStart

  package var description: String {
    switch self {
    case .unknownHost(let host, let reason):
      "cannot listen on host '\(host)': \(reason); give an address of this machine, such as 127.0.0.1 or 0.0.0.0"
    case .cannotListen(let address, let reason):
      "cannot listen on \(address): \(reason); choose another --port, or stop the program that uses it"
    case .cannotStart: "the HTTP server's thread could not be started: out of memory or threads"
    }
  }
}
