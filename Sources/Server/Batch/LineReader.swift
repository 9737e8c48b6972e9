internal import Glibc

/// Reads a file line by line, whatever its size, holding one line at a time.
///
/// Used under a lock, or by one thread.
package final class LineReader: @unchecked Sendable {
  package enum Line: Equatable {
    /// Without its line break. `isComplete` is false for a last line that has none.
    case bytes([UInt8], isComplete: Bool)
    /// Longer than the limit; passed over.
    case tooLong
  }
  private let path: String
  private let descriptor: Int32
  private let maximumLineBytes: Int
  private var chunk = [UInt8](repeating: 0, count: 1 << 16)
  private var start = 0
  private var end = 0
  private var isAtEnd = false
  /// Offset in the file behind the last line returned.
  private(set) var offset = 0

  package init(path: String, maximumLineBytes: Int) throws(BatchError) {
    self.path = path
    self.maximumLineBytes = maximumLineBytes
    // Opening /dev/stdin anew fails when it is a socket, as it is for the children of some runtimes.
    descriptor =
      path == "/dev/stdin" ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : unsafe open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { throw .cannotOpen(path: path, reason: systemError()) }
  }

  deinit { close(descriptor) }

  /// Size of the file; nil where it has none.
  var byteCount: Int? {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    return Int(status.st_size)
  }

  /// nil at the end of the file.
  package func next() throws(BatchError) -> Line? {
    var line: [UInt8] = []
    var isTooLong = false
    while true {
      if start == end {
        try fill()
        if isAtEnd {
          if line.isEmpty, !isTooLong { return nil }
          return isTooLong ? .tooLong : .bytes(line, isComplete: false)
        }
      }
      let lineBreak = chunk[start..<end].firstIndex(of: UInt8(ascii: "\n"))
      let stop = lineBreak ?? end
      if line.count + (stop - start) > maximumLineBytes {
        isTooLong = true
        line = []
      } else if !isTooLong {
        line += chunk[start..<stop]
      }
      let consumed = lineBreak.map { $0 + 1 } ?? end
      offset += consumed - start
      start = consumed
      if lineBreak != nil { return isTooLong ? .tooLong : .bytes(line, isComplete: true) }
    }
  }

  private func fill() throws(BatchError) {
    while true {
      let count = unsafe read(descriptor, &chunk, chunk.count)
      if count < 0, errno == EINTR { continue }
      if count < 0 { throw .cannotRead(path: path, reason: systemError()) }
      start = 0
      end = count
      isAtEnd = count == 0
      return
    }
  }
}

/// `errno` in words.
func systemError() -> String { unsafe String(cString: strerror(errno)) }
