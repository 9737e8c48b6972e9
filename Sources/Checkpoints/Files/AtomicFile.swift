internal import Glibc
internal import Synchronization

/// A file that appears under its name complete or not at all.
///
/// Bytes go to a temporary name in the same folder; `commit` flushes them to the disk, renames and flushes the
/// folder. Dropped without `commit`, the temporary file is removed and an older file stays as it was.
package struct AtomicFile: ~Copyable {
  private static let serial = Atomic<Int>(0)

  private let path: String
  private let temporaryPath: String
  private let descriptor: Int32

  /// - Throws: `inputOutput` if the folder is missing or may not be written.
  package init(path: String) throws(CheckpointError) {
    guard !path.isEmpty, !path.utf8.contains(0) else {
      throw .inputOutput(operation: "create", path: path, code: EINVAL)
    }
    let number = Self.serial.wrappingAdd(1, ordering: .relaxed).newValue
    let temporary = path + ".tmp-\(getpid())-\(number)"
    let descriptor = unsafe open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw .inputOutput(operation: "create", path: temporary, code: errno) }
    self.path = path
    temporaryPath = temporary
    self.descriptor = descriptor
  }

  deinit {
    close(descriptor)
    unsafe unlink(temporaryPath)
  }

  /// Writes all bytes at an offset from the start; parts may come in any order.
  package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(CheckpointError) {
    var done = 0
    while done < bytes.count {
      let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[done...])
      let count = unsafe pwrite(descriptor, rest.baseAddress, rest.count, offset + done)
      if count < 0 {
        if errno == EINTR { continue }
        throw .inputOutput(operation: "write", path: temporaryPath, code: errno)
      }
      done += count
    }
  }

  package func write(_ bytes: [UInt8], at offset: Int) throws(CheckpointError) {
    try unsafe bytes.span.withUnsafeBytes { (raw) throws(CheckpointError) in
      try unsafe write(raw, at: offset)
    }
  }

  /// Lengthens the file with zeros; one that is as long already stays as it is.
  package func extend(to size: Int) throws(CheckpointError) {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else {
      throw .inputOutput(operation: "read the size of the file", path: temporaryPath, code: errno)
    }
    guard status.st_size < size else { return }
    guard ftruncate(descriptor, size) == 0 else {
      throw .inputOutput(operation: "extend", path: temporaryPath, code: errno)
    }
  }

  /// Makes the file visible under its name, replacing what was there.
  package consuming func commit() throws(CheckpointError) {
    guard fsync(descriptor) == 0 else {
      throw .inputOutput(operation: "flush", path: temporaryPath, code: errno)
    }
    guard unsafe rename(temporaryPath, path) == 0 else {
      throw .inputOutput(operation: "rename to the final name", path: path, code: errno)
    }
    // The name is in place; a folder that cannot be flushed (some network file systems) is not a failure of the write.
    let folder = Self.folder(of: path)
    let directory = unsafe open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if directory >= 0 {
      fsync(directory)
      close(directory)
    }
  }

  private static func folder(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}
