internal import Glibc

/// Owns a bound, listening TCP socket.
struct ListeningSocket: ~Copyable {
  let descriptor: Int32
  let address: HTTPAddress

  /// Binds the first address the host's name resolves to that can be bound.
  init(host: String, port: Int, backlog: Int32 = 1024) throws(HTTPServerError) {
    let asked = HTTPAddress(host: host.isEmpty ? "0.0.0.0" : host, port: port)
    guard (0...65535).contains(port) else {
      throw .cannotListen(asked, reason: "a port is a number from 0 to 65535")
    }
    var hints = unsafe addrinfo()
    unsafe hints.ai_family = AF_UNSPEC
    unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    unsafe hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
    var found: UnsafeMutablePointer<addrinfo>?
    let status = unsafe getaddrinfo(asked.host, String(port), &hints, &found)
    guard status == 0 else {
      throw .unknownHost(asked.host, reason: unsafe String(cString: gai_strerror(status)))
    }
    defer { unsafe freeaddrinfo(found) }
    var reason = "no address found"
    var candidate = unsafe found
    while let info = unsafe candidate {
      let bound = unsafe Self.listen(on: info.pointee, backlog: backlog, reason: &reason)
      if let bound {
        descriptor = bound
        address = HTTPAddress(host: asked.host, port: Self.port(of: bound) ?? port)
        return
      }
      unsafe candidate = info.pointee.ai_next
    }
    throw .cannotListen(asked, reason: reason)
  }

  deinit { close(descriptor) }

  private static func listen(on info: addrinfo, backlog: Int32, reason: inout String) -> Int32? {
    let type = unsafe info.ai_socktype | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let descriptor = unsafe socket(info.ai_family, type, info.ai_protocol)
    var isListening = false
    if descriptor >= 0 {
      var on: Int32 = 1
      unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
      isListening =
        unsafe bind(descriptor, info.ai_addr, info.ai_addrlen) == 0 && Glibc.listen(descriptor, backlog) == 0
    }
    if isListening { return descriptor }
    reason = unsafe String(cString: strerror(errno))
    if descriptor >= 0 { close(descriptor) }
    return nil
  }

  private static func port(of descriptor: Int32) -> Int? {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let status = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        unsafe getsockname(descriptor, address, &length)
      }
    }
    guard status == 0 else { return nil }
    // The port stands at the same place in both families, in network order.
    let bytes = unsafe withUnsafeBytes(of: &storage) { unsafe ($0[2], $0[3]) }
    return Int(bytes.0) << 8 | Int(bytes.1)
  }
}
