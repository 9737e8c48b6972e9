internal import Glibc

/// Reads what the commands take as input, with the exit code of each way it can fail.
enum Files {
  /// A whole file; `-` is standard input.
  static func read(_ path: String, limit: Int = 1 << 31) throws(Failure) -> [UInt8] {
    if path == "-" { return try drain(STDIN_FILENO, path: "standard input", limit: limit) }
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure("open", path) }
    defer { close(descriptor) }
    return try drain(descriptor, path: path, limit: limit)
  }

  static func failure(_ operation: String, _ path: String) -> Failure {
    let code = errno
    let reason = unsafe String(cString: strerror(code))
    let missing = code == ENOENT || code == EACCES || code == ENOTDIR
    return Failure(missing ? .inputNotFound : .inputOutput, "cannot \(operation) \(path): \(reason)")
  }

  private static func drain(_ descriptor: Int32, path: String, limit: Int) throws(Failure) -> [UInt8] {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 18)
    while true {
      let count = unsafe Glibc.read(descriptor, &chunk, chunk.count)
      if count == 0 { return bytes }
      if count < 0 {
        if errno == EINTR { continue }
        throw failure("read", path)
      }
      if bytes.count + count > limit {
        throw Failure(.badData, "\(path) is larger than \(limit >> 20) MiB; split it")
      }
      bytes.append(contentsOf: chunk[0..<count])
    }
  }
}
