internal import Generation
internal import CMicrohttpd
internal import Glibc
internal import Synchronization

/// `HTTPServer` over libmicrohttpd, one thread a connection.
///
/// A handler may therefore block, and a stream's producer waits for its next piece where it is sent from: no queue and
/// no thread switch lies between a token and its socket.
@safe
package final class MicrohttpdServer: HTTPServer, @unchecked Sendable {
  package let address: HTTPAddress
  let options: HTTPServerOptions
  let handler: HTTPHandler
  let refusal: @Sendable (HTTPRefusal) -> HTTPResponse
  let connections: ConnectionTable
  let active = Monitor(0)
  private let state: Mutex<State>

  @safe
  private struct Daemon: @unchecked Sendable {
    let pointer: OpaquePointer?
  }

  /// Everything that ends with the server; guarded by `state`.
  @safe
  private struct State: ~Copyable, @unchecked Sendable {
    var daemon: OpaquePointer?
    var socket: ListeningSocket?
    var watchdog: Thread?
    var isAccepting = true
    let listeningDescriptor: Int32
  }

  /// Listens at once, and raises the process's limit of open files as far as it may.
  ///
  /// - Parameter refusal: words the answers the HTTP layer gives by itself.
  package init(
    options: HTTPServerOptions, refusal: @escaping @Sendable (HTTPRefusal) -> HTTPResponse = plainRefusal,
    handler: @escaping HTTPHandler
  ) throws(HTTPServerError) {
    DescriptorLimit.raise()
    let socket = try ListeningSocket(host: options.host, port: options.port)
    let descriptor = socket.descriptor
    address = socket.address
    self.options = options
    self.handler = handler
    self.refusal = refusal
    let table = ConnectionTable(options: options)
    connections = table
    guard let watchdog = Thread(stackBytes: 256 << 10, { table.watch() }) else { throw .cannotStart }
    state = unsafe Mutex(
      State(daemon: nil, socket: socket, watchdog: watchdog, listeningDescriptor: descriptor))
    var callbacks = unsafe gpi_mhd_callbacks(
      context: Unmanaged.passUnretained(self).toOpaque(), handle: Self.handleCallback,
      completed: Self.completedCallback, connection: Self.connectionCallback)
    let daemon = unsafe gpi_mhd_start(
      descriptor, UInt32(clamping: options.maximumConnections), options.threadStackBytes, &callbacks)
    guard let daemon = unsafe daemon else {
      stop()
      throw .cannotStart
    }
    state.withLock { unsafe $0.daemon = daemon }
  }

  deinit { stop() }

  @Sendable package static func plainRefusal(_ refusal: HTTPRefusal) -> HTTPResponse {
    .text(refusal.message, status: refusal.status)
  }

  package var activeRequests: Int { active.withLock { $0 } }

  package func stopAccepting() {
    state.withLock { state in
      guard state.isAccepting, let daemon = unsafe state.daemon else { return }
      state.isAccepting = false
      unsafe MHD_quiesce_daemon(daemon)
      // Refuses clients instead of letting them wait in the backlog. The descriptor is closed when no thread can be
      // polling it any more, in `stop`.
      shutdown(state.listeningDescriptor, Int32(SHUT_RDWR))
    }
  }

  package func waitUntilIdle(timeoutMilliseconds: Int) -> Bool {
    active.wait(timeoutMilliseconds: timeoutMilliseconds, until: { $0 == 0 }, then: { $0 == 0 })
  }

  package func stop() {
    stopAccepting()
    let daemon = state.withLock { state in unsafe Daemon(pointer: state.daemon.take()) }
    let watchdog = state.withLock { $0.watchdog.take() }
    connections.cutAll()
    if let pointer = unsafe daemon.pointer { unsafe MHD_stop_daemon(pointer) }
    connections.stopWatching()
    if let watchdog { watchdog.join() }
    state.withLock { _ = $0.socket.take() }
  }
}
