internal import Glibc

/// A file without a name that holds the current input, for code that opens files by their path.
enum InputFile {
  static let descriptor: CInt = {
    var name = Array("/tmp/gpuinfer-fuzz-XXXXXX".utf8CString)
    let descriptor = unsafe mkstemp(&name)
    precondition(descriptor >= 0, "no temporary file can be made")
    unsafe unlink(name)
    return descriptor
  }()
  static var path: String { "/proc/self/fd/\(descriptor)" }

  @unsafe static func write(_ data: UnsafePointer<UInt8>?, _ size: Int) {
    precondition(ftruncate(descriptor, 0) == 0)
    precondition(unsafe pwrite(descriptor, data, size, 0) == size)
  }

  /// Reads every byte, so that what lies outside of the mapping is noticed.
  @unsafe static func touch(_ bytes: UnsafeRawBufferPointer) {
    let sum = unsafe bytes.reduce(UInt8(0)) { $0 &+ $1 }
    unsafe precondition(sum == 0 || !bytes.isEmpty)
  }
}
