internal import Glibc

/// Sends a file piece by piece, so that a large one needs no memory.
final class FileBody: HTTPBodyProducer {
  private let descriptor: Int32
  private var chunk = [UInt8](repeating: 0, count: 1 << 16)

  init(path: String) throws(StateError) {
    descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { throw .cannotOpen(path: path, reason: systemError()) }
  }

  deinit { close(descriptor) }

  func produce(into writer: consuming HTTPBodyWriter) -> HTTPBodyPiece {
    while true {
      let count = unsafe read(descriptor, &chunk, chunk.count)
      if count < 0, errno == EINTR { continue }
      if count < 0 { return writer.cut() }
      if count == 0 { return writer.end() }
      writer.write(Array(chunk[..<count]))
      return writer.flush()
    }
  }

  func abandon() {}
}
