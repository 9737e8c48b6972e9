internal import Generation
internal import Glibc
internal import JSON

/// The output of a batch: one JSON line a finished request, on disk before it counts.
///
/// Lines are only ever appended. What a killed run leaves is whole lines and perhaps one torn line at the end, which
/// is cut off when the file is opened again.
final class BatchOutput: Sendable {
  /// What earlier runs finished.
  struct Finished: Sendable, Equatable {
    /// Requests, by `custom_id`.
    var ids: Set<String> = []
    /// Lines that were no usable request, by line number: bad JSON, no or a repeated `custom_id`.
    var lines: Set<Int> = []
    /// Of all these, those that got an error.
    var failed = 0
  }
  private let path: String
  private let descriptor: Int32
  let finished: Finished
  private let length: Monitor<Int>
  /// How much of the file is known to be on disk. Many lines share one fsync.
  private let synced = Monitor(0)

  init(path: String) throws(BatchError) {
    self.path = path
    descriptor = unsafe open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    if descriptor < 0 { throw .cannotOpen(path: path, reason: systemError()) }
    if flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      close(descriptor)
      throw .outputInUse(path: path)
    }
    let end: Int
    do {
      (finished, end) = try Self.scan(path)
    } catch {
      close(descriptor)
      throw error
    }
    length = Monitor(end)
    if ftruncate(descriptor, end) != 0 {
      // A pipe or a terminal has no length.
      if errno != EINVAL { throw .cannotWrite(path: path, reason: systemError()) }
    }
  }

  deinit { close(descriptor) }

  /// Reads what is there: the finished requests, and where the last whole line ends.
  private static func scan(_ path: String) throws(BatchError) -> (Finished, end: Int) {
    var status = stat()
    guard unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return (Finished(), 0) }
    let reader = try LineReader(path: path, maximumLineBytes: Int.max)
    var finished = Finished()
    var end = 0
    var number = 0
    while case .bytes(let line, let isComplete)? = try reader.next() {
      number += 1
      if !isComplete { break }
      let value: JSONValue
      do {
        value = try JSONValue.parse(line)
      } catch {
        throw .foreignOutput(path: path, line: number, reason: "\(error)")
      }
      if let line = value["error"]?["line"]?.int, value["error"]?["code"]?.string == lineErrorCode {
        finished.lines.insert(line)
      } else if let id = value["custom_id"]?.string {
        finished.ids.insert(id)
      } else {
        throw .foreignOutput(path: path, line: number, reason: "it has no custom_id")
      }
      if value["error"]?.isNull == false { finished.failed += 1 }
      end = reader.offset
    }
    return (finished, end)
  }

  /// The `error.code` of a line that names no request of its own.
  static let lineErrorCode = "invalid_line"

  /// Lets other runs have the file. Nothing may be appended afterwards.
  func release() { flock(descriptor, LOCK_UN) }

  /// Returns when the line is on disk.
  func append(_ line: [UInt8]) throws(BatchError) {
    let end = try length.attempt { length throws(BatchError) in
      do throws(BatchError) {
        try write(line + [UInt8(ascii: "\n")])
      } catch {
        // Leave no torn line where the next one would be appended to it.
        ftruncate(descriptor, length)
        throw error
      }
      length += line.count + 1
      return length
    }
    try synced.attempt { synced throws(BatchError) in
      if synced >= end { return }
      let written = length.withLock { $0 }
      // Not every output can be synced (a pipe can't), and then needs not to be.
      if fsync(descriptor) != 0, errno != EINVAL, errno != EROFS {
        throw .cannotWrite(path: path, reason: systemError())
      }
      synced = written
    }
  }

  private func write(_ bytes: [UInt8]) throws(BatchError) {
    var sent = 0
    while sent < bytes.count {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.write(descriptor, $0.baseAddress?.advanced(by: sent), bytes.count - sent)
      }
      if count < 0, errno == EINTR { continue }
      if count < 0 { throw .cannotWrite(path: path, reason: systemError()) }
      sent += count
    }
  }
}
