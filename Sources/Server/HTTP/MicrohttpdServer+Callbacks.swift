internal import CMicrohttpd
internal import Generation
internal import Glibc

// libmicrohttpd calls these on the connection's thread, but `connectionCallback` on the accepting one. The context is
// the server, which outlives its daemon.
extension MicrohttpdServer {
  private static func server(_ context: UnsafeMutableRawPointer?) -> MicrohttpdServer? {
    guard let context = unsafe context else { return nil }
    return unsafe Unmanaged<MicrohttpdServer>.fromOpaque(context).takeUnretainedValue()
  }

  /// Called when a head has come (no exchange yet), for each part of the body, and when all of it is there.
  static var handleCallback: MHD_AccessHandlerCallback {
    { context, handle, url, method, _, upload, uploadSize, exchangeSlot in
      guard let server = unsafe MicrohttpdServer.server(context), let handle = unsafe handle,
        let uploadSize = unsafe uploadSize,
        let exchangeSlot = unsafe exchangeSlot
      else { return .NO }
      guard let slot = unsafe exchangeSlot.pointee else {
        guard let exchange = unsafe server.begin(handle, url: url, method: method) else { return .NO }
        unsafe exchangeSlot.pointee = Unmanaged.passRetained(exchange).toOpaque()
        return exchange.refusesBody ? unsafe server.answer(exchange, on: handle) : .YES
      }
      let exchange = unsafe Unmanaged<MicrohttpdExchange>.fromOpaque(slot).takeUnretainedValue()
      if unsafe uploadSize.pointee > 0 {
        let bytes = unsafe UnsafeRawBufferPointer(start: upload, count: uploadSize.pointee)
        unsafe uploadSize.pointee = 0
        return unsafe exchange.receive(bytes) ? .YES : .NO
      }
      return unsafe server.answer(exchange, on: handle)
    }
  }

  private func begin(
    _ handle: OpaquePointer, url: UnsafePointer<CChar>?, method: UnsafePointer<CChar>?
  ) -> MicrohttpdExchange? {
    guard let context = unsafe gpi_mhd_socket_context(handle), let url = unsafe url,
      let method = unsafe method
    else { return nil }
    let connection = unsafe Unmanaged<MicrohttpdConnection>.fromOpaque(context).takeUnretainedValue()
    var headers = HTTPHeaders()
    for (name, value) in unsafe Self.values(handle, .HEADER_KIND) { headers.append(name, value) }
    let request = unsafe HTTPRequest(
      method: String(cString: method), path: String(cString: url),
      query: Self.values(handle, .GET_ARGUMENT_KIND).map { HTTPRequest.Parameter($0, $1) },
      headers: headers)
    active.update { $0 += 1 }
    return MicrohttpdExchange(request: request, connection: connection, options: options)
  }

  private func answer(_ exchange: MicrohttpdExchange, on handle: OpaquePointer) -> MHD_Result {
    let response = exchange.respond(handler, refusal: refusal)
    return unsafe exchange.queue(response, on: handle)
  }

  private final class Pairs {
    var pairs: [(String, String)] = []
  }

  private static func values(_ handle: OpaquePointer, _ kind: MHD_ValueKind) -> [(String, String)] {
    let collected = Pairs()
    unsafe MHD_get_connection_values(
      handle, kind,
      { context, _, name, value in
        guard let context = unsafe context, let name = unsafe name else { return .YES }
        let collected = unsafe Unmanaged<Pairs>.fromOpaque(context).takeUnretainedValue()
        let text = unsafe value.map { unsafe String(cString: $0) } ?? ""
        unsafe collected.pairs.append((String(cString: name), text))
        return .YES
      }, Unmanaged.passUnretained(collected).toOpaque())
    return collected.pairs
  }

  /// The answer has been sent, or will never be.
  static var completedCallback: MHD_RequestCompletedCallback {
    { context, _, exchangeSlot, _ in
      guard let server = unsafe MicrohttpdServer.server(context), let exchangeSlot = unsafe exchangeSlot,
        let slot = unsafe exchangeSlot.pointee
      else { return }
      let exchange = unsafe Unmanaged<MicrohttpdExchange>.fromOpaque(slot).takeRetainedValue()
      unsafe exchangeSlot.pointee = nil
      exchange.client.end()
      exchange.connection.expect(within: server.options.idleTimeoutMilliseconds)
      server.active.update { $0 -= 1 }
    }
  }

  /// A connection was accepted, or is about to be closed. The socket's context slot holds our record (+1).
  static var connectionCallback: MHD_NotifyConnectionCallback {
    { context, handle, slot, change in
      guard let server = unsafe MicrohttpdServer.server(context), let handle = unsafe handle,
        let slot = unsafe slot
      else {
        return
      }
      if change == .CONNECTION_NOTIFY_STARTED {
        let connection = unsafe MicrohttpdConnection(
          socket: gpi_mhd_socket(handle), timeoutMilliseconds: server.options.headTimeoutMilliseconds,
          clock: server.options.clock)
        server.connections.insert(connection)
        unsafe slot.pointee = Unmanaged.passRetained(connection).toOpaque()
      } else if let stored = unsafe slot.pointee {
        server.connections.remove(
          unsafe Unmanaged<MicrohttpdConnection>.fromOpaque(stored).takeRetainedValue())
        unsafe slot.pointee = nil
      }
    }
  }
}
