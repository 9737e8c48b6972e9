internal import Glibc

/// A directory that appears under its name complete or not at all: it is filled beside its name and renamed.
enum AtomicDirectory {
  /// - Parameters:
  ///   - path: may not exist; the folder it lies in must.
  ///   - fill: writes files into the directory whose path it is given. When it throws, they are removed.
  static func make<Failure: Error>(
    _ path: String, wrapping wrap: (CheckpointError) -> Failure, _ fill: (String) throws(Failure) -> Void
  ) throws(Failure) {
    guard !FileSystem.exists(path) else { throw wrap(.alreadyExists(path: path)) }
    let name = path.hasSuffix("/") ? String(path.dropLast()) : path
    let temporary = name + ".tmp-\(getpid())"
    guard unsafe mkdir(temporary, 0o777) == 0 else {
      throw wrap(.inputOutput(operation: "create", path: temporary, code: errno))
    }
    do throws(Failure) {
      try fill(temporary)
      guard unsafe rename(temporary, name) == 0 else {
        throw wrap(.inputOutput(operation: "rename to the final name", path: name, code: errno))
      }
    } catch {
      for file in FileSystem.names(in: temporary) { unsafe unlink(FileSystem.join(temporary, file)) }
      unsafe rmdir(temporary)
      throw error
    }
  }
}
