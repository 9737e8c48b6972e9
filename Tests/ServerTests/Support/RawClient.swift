import Generation
import Glibc
import TestSupport

@testable import Server

/// A plain TCP client that sends exactly the bytes it is told to. Reads give up in the end, so that a broken
/// server fails a test instead of hanging it.
final class RawClient {
  struct Response: Equatable {
    var status: Int
    var headers: HTTPHeaders
    var body: [UInt8]
    /// How many chunks the body came in; nil when it was not chunked.
    var chunks: Int?

    var text: String { String(decoding: body, as: UTF8.self) }
  }
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  let descriptor: Int32
  private var buffer: [UInt8] = []
  private var isOpen = true

  init(port: Int, receiveBufferBytes: Int32? = nil) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { throw Failure(description: "no socket") }
    if var size = receiveBufferBytes {
      unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
    }
    var limit = timeval(tv_sec: Patience.milliseconds / 1000, tv_usec: 0)
    unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    var on: Int32 = 1
    unsafe setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr = in_addr(s_addr: UInt32(0x7F00_0001).bigEndian)
    let status = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    let reason = status == 0 ? 0 : errno == EINTR ? outcomeOfConnecting() : errno
    guard reason == 0 else { throw Failure(description: "connect: errno \(reason)") }
  }

  /// A process that is stopped and goes on finds its calls interrupted; the connection is made meanwhile.
  private func outcomeOfConnecting() -> Int32 {
    var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    guard unsafe poll(&entry, 1, Int32(Patience.milliseconds)) > 0 else { return ETIMEDOUT }
    var reason: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    unsafe getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &reason, &size)
    return reason
  }

  /// Repeats a call that was interrupted.
  private func uninterrupted(_ call: () -> Int) -> Int {
    while true {
      let count = call()
      if count >= 0 || errno != EINTR { return count }
    }
  }

  deinit { close() }

  func close() {
    if isOpen { Glibc.close(descriptor) }
    isOpen = false
  }

  /// Closes with a reset instead of an orderly end.
  func reset() {
    var option = linger(l_onoff: 1, l_linger: 0)
    unsafe setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    close()
  }

  func finishSending() { shutdown(descriptor, Int32(SHUT_WR)) }

  /// False when the other side does not take the bytes any more.
  @discardableResult
  func send(_ bytes: [UInt8]) -> Bool {
    var sent = 0
    while sent < bytes.count {
      let count = uninterrupted {
        unsafe bytes.withUnsafeBytes {
          unsafe Glibc.send(
            descriptor, $0.baseAddress?.advanced(by: sent), bytes.count - sent, Int32(MSG_NOSIGNAL))
        }
      }
      if count <= 0 { return false }
      sent += count
    }
    return true
  }

  @discardableResult
  func send(_ text: String) -> Bool { send(Array(text.utf8)) }

  /// Sends a request with the right length.
  func send(
    _ method: String, _ target: String, headers: [(String, String)] = [], body: [UInt8] = [],
    contentType: String? = "application/json"
  ) {
    var text = "\(method) \(target) HTTP/1.1\r\nHost: localhost\r\n"
    for (name, value) in headers { text += "\(name): \(value)\r\n" }
    if !body.isEmpty || method == "POST" {
      if let contentType { text += "Content-Type: \(contentType)\r\n" }
      text += "Content-Length: \(body.count)\r\n"
    }
    send(Array((text + "\r\n").utf8) + body)
  }

  /// More bytes from the socket; false at its end.
  private func fill() throws -> Bool {
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    let count = uninterrupted { unsafe recv(descriptor, &chunk, chunk.count, 0) }
    if count < 0 {
      if errno == ECONNRESET { return false }
      throw Failure(description: "receive: errno \(errno)")
    }
    buffer += chunk[0..<count]
    return count > 0
  }

  /// Whether the server ends the connection without another byte.
  /// - Parameter meanwhile: called again and again until the server has done something.
  func isClosedByServer(meanwhile: () -> Void) throws -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    let end = MonotonicClock.milliseconds + Int64(Patience.milliseconds)
    while unsafe poll(&entry, 1, 5) == 0, MonotonicClock.milliseconds < end { meanwhile() }
    return try buffer.isEmpty && !fill()
  }

  func line() throws -> String {
    while true {
      if let end = buffer.firstIndex(of: 10) {
        let line = buffer[..<end]
        buffer.removeSubrange(...end)
        return String(decoding: line.last == 13 ? line.dropLast() : line, as: UTF8.self)
      }
      guard try fill() else { throw Failure(description: "closed after \(buffer.count) bytes of a line") }
    }
  }

  func bytes(_ count: Int) throws -> [UInt8] {
    while buffer.count < count {
      guard try fill() else { throw Failure(description: "closed after \(buffer.count) of \(count) bytes") }
    }
    defer { buffer.removeFirst(count) }
    return Array(buffer[..<count])
  }

  func head() throws -> Response {
    let parts = try line().split(separator: " ")
    guard parts.count >= 2, let status = Int(parts[1]) else {
      throw Failure(description: "no status line: \(parts)")
    }
    var headers = HTTPHeaders()
    while case let line = try line(), !line.isEmpty {
      guard let colon = line.firstIndex(of: ":") else { throw Failure(description: "bad header: \(line)") }
      let value = line[line.index(after: colon)...].drop { $0 == " " }
      headers.append(String(line[..<colon]), String(value))
    }
    return Response(status: status, headers: headers, body: [])
  }

  /// One chunk of a chunked body; empty at its end.
  func chunk() throws -> [UInt8] {
    guard let size = Int(try line(), radix: 16) else { throw Failure(description: "bad chunk size") }
    let data = try bytes(size)
    guard try line().isEmpty else { throw Failure(description: "chunk without its end") }
    return data
  }

  func response(toHead isHead: Bool = false) throws -> Response {
    var response = try head()
    while response.status == 100 { response = try head() }
    if isHead || response.status == 204 { return response }
    if response.headers["Transfer-Encoding"] == "chunked" {
      var chunks = 0
      while case let chunk = try chunk(), !chunk.isEmpty {
        response.body += chunk
        chunks += 1
      }
      response.chunks = chunks
    } else if let length = response.headers["Content-Length"].flatMap({ Int($0) }) {
      response.body = try bytes(length)
    } else {
      while try fill() {}
      response.body = buffer
      buffer = []
    }
    return response
  }
}
