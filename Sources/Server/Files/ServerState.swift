internal import Generation
internal import Glibc

/// What a server keeps across restarts: files and batches in a directory of its own.
package final class ServerState: Sendable {
  let files: FileStore
  let batches: BatchStore
  private let lock: Int32

  /// Opens the directory, makes it where it is not there, and keeps other servers out.
  package init(directory: String) throws(StateError) {
    let directory = directory.hasSuffix("/") ? String(directory.dropLast()) : directory
    try StateFolder.make(directory)
    lock = unsafe open(directory + "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    if lock < 0 { throw .cannotOpen(path: directory + "/lock", reason: systemError()) }
    if flock(lock, LOCK_EX | LOCK_NB) != 0 {
      close(lock)
      throw .inUse(directory: directory)
    }
    do throws(StateError) {
      files = try FileStore(folder: directory + "/files")
      batches = try BatchStore(folder: directory + "/batches")
    } catch {
      close(lock)
      throw error
    }
  }

  deinit { close(lock) }
}

extension APIError {
  init(_ error: StateError) {
    self = APIError(500, .internalFailure, "The server's state could not be kept: \(error)")
  }
}
