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

/// Lines of standard input, without holding all of it.
struct LineReader {
  private var pending: [UInt8] = []
  private var position = 0
  private var ended = false
  private(set) var lineNumber = 0

  /// The next line without its end, or nil after the last.
  mutating func next() throws(Failure) -> [UInt8]? {
    var searched = position
    while true {
      if let end = pending[searched...].firstIndex(of: UInt8(ascii: "\n")) {
        let line = Array(pending[position..<end])
        position = end + 1
        lineNumber += 1
        return line
      }
      if ended {
        guard position < pending.count else { return nil }
        let line = Array(pending[position...])
        position = pending.count
        lineNumber += 1
        return line
      }
      pending.removeFirst(position)
      position = 0
      searched = pending.count
      try fill()
    }
  }

  private mutating func fill() throws(Failure) {
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    let count = unsafe Glibc.read(STDIN_FILENO, &chunk, chunk.count)
    if count > 0 {
      pending.append(contentsOf: chunk[0..<count])
    } else if count == 0 {
      ended = true
    } else if errno != EINTR {
      throw Files.failure("read", "standard input")
    }
  }
}
