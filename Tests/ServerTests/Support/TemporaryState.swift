internal import Foundation

@testable import Server

/// A server's state in a directory of its own, which is removed with this object.
final class TemporaryState {
  let directory: String
  private(set) var state: ServerState

  init() throws {
    directory = FileManager.default.temporaryDirectory.path + "/gpuinfer-state-\(UUID().uuidString)"
    state = try ServerState(directory: directory)
  }

  deinit { try? FileManager.default.removeItem(atPath: directory) }

  /// Lets the directory go and opens it again, as the next server does. Nobody else may hold the old state.
  func reopen() throws {
    // One server at a time may have it.
    let empty = FileManager.default.temporaryDirectory.path + "/gpuinfer-empty-\(UUID().uuidString)"
    state = try ServerState(directory: empty)
    try FileManager.default.removeItem(atPath: empty)
    state = try ServerState(directory: directory)
  }

  /// Stores a file as an upload does.
  func addInput(id: String = StateIdentifier.newFile(), _ text: String = "") throws -> String {
    try state.files.create(id: id, filename: "in.jsonl", purpose: "batch") { (file) throws(StateError) in
      try file.append(Array(text.utf8))
    }.id
  }

  func content(of file: String?) throws -> String {
    guard let file else { return "" }
    return String(decoding: try StateFolder.read(state.files.path(of: file)), as: UTF8.self)
  }
}
