internal import Glibc

/// Why the server's state could not be read or written.
package enum StateError: Error, Equatable, Sendable, CustomStringConvertible {
  case cannotOpen(path: String, reason: String)
  case cannotRead(path: String, reason: String)
  case cannotWrite(path: String, reason: String)
  /// Another server has the directory.
  case inUse(directory: String)
  case damaged(path: String, reason: String)

  package var description: String {
    switch self {
    case .cannotOpen(let path, let reason): "cannot open '\(path)': \(reason)"
    case .cannotRead(let path, let reason): "cannot read '\(path)': \(reason)"
    case .cannotWrite(let path, let reason): "cannot write '\(path)': \(reason)"
    case .inUse(let directory):
      "'\(directory)' is used by another server; give each its own --state-dir"
    case .damaged(let path, let reason):
      "'\(path)' is not what a server wrote there (\(reason)); move it away, or give another --state-dir"
    }
  }
}

/// A file that appears under its name complete and on disk, or not at all.
struct DurableFile: ~Copyable {
  static let temporarySuffix = ".tmp"

  private let path: String
  private let descriptor: Int32
  private(set) var byteCount = 0

  init(path: String) throws(StateError) {
    let temporary = path + Self.temporarySuffix
    descriptor = unsafe open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    self.path = path
    if descriptor < 0 { throw .cannotOpen(path: temporary, reason: systemError()) }
  }

  deinit {
    close(descriptor)
    unsafe unlink(path + Self.temporarySuffix)
  }

  mutating func append(_ bytes: [UInt8]) throws(StateError) {
    var sent = 0
    while sent < bytes.count {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.write(descriptor, $0.baseAddress?.advanced(by: sent), bytes.count - sent)
      }
      if count < 0, errno == EINTR { continue }
      if count < 0 { throw .cannotWrite(path: path, reason: systemError()) }
      sent += count
    }
    byteCount += bytes.count
  }

  /// Gives the file its name, in place of one that had it.
  consuming func commit() throws(StateError) {
    guard fsync(descriptor) == 0, unsafe rename(path + Self.temporarySuffix, path) == 0 else {
      throw .cannotWrite(path: path, reason: systemError())
    }
    Self.syncFolder(of: path)
  }

  static func write(_ bytes: [UInt8], to path: String) throws(StateError) {
    var file = try DurableFile(path: path)
    try file.append(bytes)
    try file.commit()
  }

  /// Removes a file for good; one that is not there is none.
  static func remove(_ path: String) throws(StateError) {
    if unsafe unlink(path) != 0, errno != ENOENT { throw .cannotWrite(path: path, reason: systemError()) }
    syncFolder(of: path)
  }

  /// Names come and go for good once their folder is on disk. Some file systems can't, and then needn't.
  private static func syncFolder(of path: String) {
    guard let slash = path.lastIndex(of: "/") else { return }
    let folder = unsafe open(String(path[...slash]), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if folder >= 0 {
      fsync(folder)
      close(folder)
    }
  }
}

/// A directory of the server's own.
enum StateFolder {
  static func make(_ path: String) throws(StateError) {
    if unsafe mkdir(path, 0o700) != 0, errno != EEXIST {
      throw .cannotOpen(path: path, reason: systemError())
    }
  }

  /// Sorted, without hidden ones.
  static func names(in path: String) throws(StateError) -> [String] {
    guard let stream = unsafe opendir(path) else { throw .cannotOpen(path: path, reason: systemError()) }
    defer { unsafe closedir(stream) }
    var names: [String] = []
    while let entry = unsafe readdir(stream) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { raw in
        unsafe String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
      }
      if !name.hasPrefix(".") { names.append(name) }
    }
    return names.sorted()
  }

  static func read(_ path: String) throws(StateError) -> [UInt8] {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { throw .cannotOpen(path: path, reason: systemError()) }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe Glibc.read(descriptor, &chunk, chunk.count)
      if count < 0, errno == EINTR { continue }
      if count < 0 { throw .cannotRead(path: path, reason: systemError()) }
      if count == 0 { return bytes }
      bytes += chunk[..<count]
    }
  }
}
