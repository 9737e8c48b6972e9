internal import Glibc

/// A whole file mapped read-only into memory. Pages are read when they are first touched, so that opening costs
/// the same for any size.
///
/// The size is taken once. If another program cuts the file afterwards, touching a page behind its new end raises
/// SIGBUS; checkpoints are replaced by renaming (see `AtomicFile`), which leaves a mapping intact.
///
/// The CPU backend may put copies in huge pages in the place of the mapping, so nothing here may ask the system to
/// drop pages: those of a copy would come back as zeros.
@safe
package final class MappedFile: Sendable {
  package let path: String
  package let byteCount: Int
  private let base: UInt

  /// What the kernel may prepare for.
  package enum Advice: Sendable {
    case sequential, random, willNeed
  }

  /// - Throws: `notFound`, `notReadable`, `notAFile` (a directory, pipe or device) or `inputOutput`.
  package init(path: String) throws(CheckpointError) {
    let descriptor = try Self.openForReading(path)
    defer { close(descriptor) }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else {
      throw .inputOutput(operation: "read the size of the file", path: path, code: errno)
    }
    guard status.st_mode & S_IFMT == S_IFREG else { throw .notAFile(path: path) }
    let size = Int(status.st_size)
    self.path = path
    byteCount = size
    guard size > 0 else {
      base = 0
      return
    }
    let address = unsafe mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0)
    guard let address = unsafe address, unsafe address != MAP_FAILED else {
      throw .inputOutput(operation: "map the file", path: path, code: errno)
    }
    base = UInt(bitPattern: address)
  }

  deinit {
    if byteCount > 0 { unsafe munmap(UnsafeMutableRawPointer(bitPattern: base), byteCount) }
  }

  /// The bytes of the file; valid while this object lives. Empty, without an address, for an empty file.
  @unsafe package var bytes: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: base), count: byteCount)
  }

  /// Calls `body` with the bytes, which may not outlive the call.
  package func withBytes<Result, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try unsafe body(bytes)
  }

  /// A hint about a byte range (the whole file if left out); it changes speed only and never fails.
  package func advise(_ advice: Advice, range: Range<Int>? = nil) {
    let range = (range ?? 0..<byteCount).clamped(to: 0..<byteCount)
    guard !range.isEmpty else { return }
    let page = max(Int(sysconf(Int32(_SC_PAGESIZE))), 1)
    let start = range.lowerBound / page * page
    let code: Int32 =
      switch advice {
      case .sequential: MADV_SEQUENTIAL
      case .random: MADV_RANDOM
      case .willNeed: MADV_WILLNEED
      }
    _ = unsafe madvise(
      UnsafeMutableRawPointer(bitPattern: base + UInt(start)), range.upperBound - start, code)
  }

  private static func openForReading(_ path: String) throws(CheckpointError) -> Int32 {
    // A name with a NUL would be cut there and another file opened.
    guard !path.isEmpty, !path.utf8.contains(0) else { throw .notFound(path: path) }
    // Without O_NONBLOCK opening a pipe would wait for a writer.
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor < 0 else { return descriptor }
    switch errno {
    case ENOENT, ENOTDIR: throw .notFound(path: path)
    case EACCES, EPERM: throw .notReadable(path: path)
    case let code: throw .inputOutput(operation: "open", path: path, code: code)
    }
  }
}
