internal import Generation
internal import CMicrohttpd
internal import Glibc

/// One request and its answer on a connection, from the head's arrival to the last byte sent.
///
/// Used by the connection's thread alone.
final class MicrohttpdExchange {
  let connection: MicrohttpdConnection
  let client: MicrohttpdClient
  private var request: HTTPRequest
  private let options: HTTPServerOptions
  private let bodyStart: Int64
  private var receivedBytes = 0
  private var isTooLarge = false

  init(request: HTTPRequest, connection: MicrohttpdConnection, options: HTTPServerOptions) {
    self.connection = connection
    self.options = options
    bodyStart = connection.now
    client = MicrohttpdClient(socket: connection.socket)
    self.request = request
    self.request.client = client
    if let length = declaredLength {
      isTooLarge = length > options.maximumBodyBytes
      if !isTooLarge { self.request.body.reserveCapacity(min(length, 1 << 20)) }
    }
    connection.expect(within: options.bodyTimeoutMilliseconds, since: bodyStart)
  }

  private var declaredLength: Int? {
    guard let text = request.headers["Content-Length"] else { return nil }
    // libmicrohttpd has refused what is not a number; one past Int's range is over any limit.
    return Int(text) ?? Int.max
  }

  /// Whether to answer before the body comes: its sender asked first, or it is not worth reading.
  var refusesBody: Bool {
    isTooLarge
      && (request.headers["Expect"] != nil || (declaredLength ?? 0) > options.maximumDiscardedBytes)
  }

  /// False when so much came over the limit that the connection is to be closed.
  func receive(_ bytes: UnsafeRawBufferPointer) -> Bool {
    receivedBytes += bytes.count
    connection.expect(within: options.bodyTimeoutMilliseconds, since: bodyStart, bytes: receivedBytes)
    if receivedBytes > options.maximumBodyBytes {
      isTooLarge = true
      request.body = []
    }
    if isTooLarge { return receivedBytes <= options.maximumDiscardedBytes }
    unsafe request.body.append(contentsOf: bytes)
    return true
  }

  func respond(_ handler: HTTPHandler, refusal: (HTTPRefusal) -> HTTPResponse) -> HTTPResponse {
    connection.expectNothing()
    if isTooLarge { return refusal(.bodyTooLarge(limit: options.maximumBodyBytes)) }
    let complete = request
    request.body = []
    return handler(complete)
  }

  /// Hands the answer to libmicrohttpd.
  func queue(_ response: HTTPResponse, on handle: OpaquePointer) -> MHD_Result {
    let raw: OpaquePointer?
    switch response.body {
    case .bytes(var bytes):
      connection.expect(within: options.sendTimeoutMilliseconds, bytes: bytes.count)
      unsafe raw = bytes.withUnsafeMutableBytes { buffer in
        unsafe MHD_create_response_from_buffer(buffer.count, buffer.baseAddress, .RESPMEM_MUST_COPY)
      }
    case .stream(let producer):
      let body = MicrohttpdBody(
        producer: producer, connection: connection, timeoutMilliseconds: options.sendTimeoutMilliseconds)
      unsafe raw = body.makeResponse()
    }
    guard let raw = unsafe raw else { return .NO }
    defer { unsafe MHD_destroy_response(raw) }
    for field in response.headers.fields {
      // Refuses line breaks in a value, which could only come from a header we echo.
      _ = unsafe MHD_add_response_header(raw, field.name, field.value)
    }
    return unsafe MHD_queue_response(handle, UInt32(clamping: response.status), raw)
  }
}

/// A request the HTTP layer answers itself, before any handler.
package enum HTTPRefusal: Sendable, Equatable {
  case bodyTooLarge(limit: Int)

  package var status: Int { 413 }

  package var message: String {
    switch self {
    case .bodyTooLarge(let limit): "The request body is larger than this server's limit of \(limit) bytes."
    }
  }
}
