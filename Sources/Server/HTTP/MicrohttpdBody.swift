internal import CMicrohttpd
internal import Glibc

/// Feeds a producer's pieces to libmicrohttpd, which asks for as much as its buffer holds.
///
/// Owned by the response handed to libmicrohttpd, used by the connection's thread alone.
final class MicrohttpdBody {
  private let producer: any HTTPBodyProducer
  private let connection: MicrohttpdConnection
  private let timeoutMilliseconds: Int
  private var pending: [UInt8] = []
  private var sent = 0
  private var continuation = HTTPBodyPiece.Continuation.more

  init(producer: any HTTPBodyProducer, connection: MicrohttpdConnection, timeoutMilliseconds: Int) {
    self.producer = producer
    self.connection = connection
    self.timeoutMilliseconds = timeoutMilliseconds
  }

  /// The response owns `self` (+1) until libmicrohttpd frees it, which it does at the end of the answer or of the
  /// connection.
  func makeResponse() -> OpaquePointer? {
    let owner = unsafe Unmanaged.passRetained(self)
    let response = unsafe MHD_create_response_from_callback(
      UInt64.max, 4096,
      { context, _, buffer, capacity in
        guard let context = unsafe context, let buffer = unsafe buffer else {
          return MHD_CONTENT_READER_END_WITH_ERROR
        }
        let body = unsafe Unmanaged<MicrohttpdBody>.fromOpaque(context).takeUnretainedValue()
        return unsafe body.read(into: UnsafeMutableRawBufferPointer(start: buffer, count: capacity))
      }, owner.toOpaque(),
      { context in
        guard let context = unsafe context else { return }
        unsafe Unmanaged<MicrohttpdBody>.fromOpaque(context).takeRetainedValue().close()
      })
    if unsafe response == nil { unsafe owner.takeRetainedValue().close() }
    return unsafe response
  }

  private func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    connection.expectNothing()
    while sent == pending.count {
      switch continuation {
      case .end: return MHD_CONTENT_READER_END_OF_STREAM
      case .cut: return MHD_CONTENT_READER_END_WITH_ERROR
      case .more: break
      }
      var reused: [UInt8] = []
      swap(&reused, &pending)
      let piece = producer.produce(into: HTTPBodyWriter(reusing: reused))
      pending = piece.bytes
      continuation = piece.continuation
      sent = 0
    }
    let count = min(buffer.count, pending.count - sent)
    unsafe pending.withUnsafeBytes { bytes in
      unsafe buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[sent..<sent + count]))
    }
    sent += count
    connection.expect(within: timeoutMilliseconds)
    return count
  }

  private func close() {
    if continuation == .more { producer.abandon() }
  }
}
