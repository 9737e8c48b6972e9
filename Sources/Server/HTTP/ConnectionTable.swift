internal import Generation
internal import Glibc

/// The open connections, and the thread that cuts those whose client is too slow.
///
/// libmicrohttpd's timeout counts silence only, so a client that sends a byte now and then could hold a thread for
/// ever; these deadlines are for whole phases of a request.
final class ConnectionTable: Sendable {
  private let connections = Monitor<[ObjectIdentifier: MicrohttpdConnection]>([:])
  private let isStopping = Monitor(false)
  private let tickMilliseconds: Int
  private let clock: MonotonicClock

  init(options: HTTPServerOptions) {
    let shortest = min(
      options.headTimeoutMilliseconds, options.bodyTimeoutMilliseconds, options.idleTimeoutMilliseconds,
      options.sendTimeoutMilliseconds)
    clock = options.clock
    tickMilliseconds = min(max(shortest / 4, 5), 1000)
  }

  func insert(_ connection: MicrohttpdConnection) {
    connections.withLock { $0[ObjectIdentifier(connection)] = connection }
  }

  /// Must come before the descriptor is closed: `cutLate` uses it under the same lock.
  func remove(_ connection: MicrohttpdConnection) {
    connections.withLock { _ = $0.removeValue(forKey: ObjectIdentifier(connection)) }
  }

  func cutAll() {
    connections.withLock { for connection in $0.values { connection.cut() } }
  }

  private func cutLate() {
    let now = clock.milliseconds
    connections.withLock {
      for connection in $0.values where connection.isLate(at: now) {
        connection.cut()
        connection.expectNothing()
      }
    }
  }

  /// Returns when `stopWatching` is called.
  func watch() {
    while true {
      let isOver = isStopping.wait(timeoutMilliseconds: tickMilliseconds, until: { $0 }, then: { $0 })
      if isOver { return }
      cutLate()
    }
  }

  func stopWatching() { isStopping.update { $0 = true } }
}
