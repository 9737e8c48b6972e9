/// How a server ends without failing anybody who can still be served.
package enum GracefulShutdown {
  /// 1. /ready turns 503 and new work is refused; the socket stays open, so that probes and clients see why.
  /// 2. What runs may finish, for at most `timeoutMilliseconds`.
  /// 3. What still runs is ended, with what it has (`finish_reason` abort).
  /// 4. The socket closes.
  ///
  /// - Parameter flushMilliseconds: what the last bytes of an answer may take to leave.
  /// - Returns: whether everything finished by itself.
  package static func run(
    _ api: OpenAIServer, _ server: any HTTPServer, timeoutMilliseconds: Int, flushMilliseconds: Int = 2000
  ) -> Bool {
    api.beginDrain()
    let isDrained = api.active.waitUntilNone(timeoutMilliseconds: timeoutMilliseconds)
    if !isDrained {
      api.cancelAll()
      _ = api.active.waitUntilNone(timeoutMilliseconds: flushMilliseconds)
    }
    server.stopAccepting()
    _ = server.waitUntilIdle(timeoutMilliseconds: flushMilliseconds)
    server.stop()
    return isDrained
  }
}
