internal import Glibc

/// A connected, blocking TCP socket.
struct ClientSocket: ~Copyable {
  private let descriptor: Int32

  init(host: String, port: Int) throws(LoadError) {
    var hints = unsafe addrinfo()
    unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var found: UnsafeMutablePointer<addrinfo>?
    let status = unsafe getaddrinfo(host, String(port), &hints, &found)
    guard status == 0, let first = unsafe found else {
      throw .cannotConnect(unsafe String(cString: gai_strerror(status)))
    }
    defer { unsafe freeaddrinfo(first) }
    var reason = "no address"
    var candidate: UnsafeMutablePointer<addrinfo>? = unsafe first
    while let info = unsafe candidate?.pointee {
      let descriptor = unsafe socket(info.ai_family, info.ai_socktype, info.ai_protocol)
      if unsafe descriptor >= 0 && connect(descriptor, info.ai_addr, info.ai_addrlen) == 0 {
        var on: Int32 = 1
        unsafe setsockopt(
          descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        self.descriptor = descriptor
        return
      }
      reason = unsafe String(cString: strerror(errno))
      if descriptor >= 0 { close(descriptor) }
      unsafe candidate = info.ai_next
    }
    throw .cannotConnect(reason)
  }

  deinit { close(descriptor) }

  borrowing func send(_ bytes: [UInt8]) throws(LoadError) {
    var sent = 0
    while sent < bytes.count {
      let count = unsafe bytes[sent...].withUnsafeBytes { rest in
        unsafe Glibc.send(descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
      }
      if count < 0 {
        if errno == EINTR { continue }
        throw .connectionLost(unsafe String(cString: strerror(errno)))
      }
      sent += count
    }
  }

  /// The count of bytes read; 0 at the end of the stream.
  borrowing func receive(into buffer: inout [UInt8]) throws(LoadError) -> Int {
    while true {
      let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
      if count >= 0 { return count }
      if errno != EINTR { throw .connectionLost(unsafe String(cString: strerror(errno))) }
    }
  }
}
