import Checkpoints
import JSON
import TestSupport

internal import Foundation

/// A copy of a fixture in a temporary directory, gone with this object: its configuration edited, its tensors
/// shared by links or rewritten.
final class EditedCheckpoint {
  let directory: String

  /// - Parameters:
  ///   - edits: fields of config.json to set; nil takes one away.
  ///   - weights: changes the bytes of model.safetensors, lengths kept.
  init(
    _ fixture: String, _ edits: [String: JSONValue?] = [:], weights: (([UInt8]) -> [UInt8])? = nil
  ) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("models-\(UUID().uuidString)")
    directory = folder.path
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let source = Fixtures.path(fixture)
    for name in try FileManager.default.contentsOfDirectory(atPath: source)
    where name.hasPrefix("model") && !name.hasSuffix(".json") {
      try FileManager.default.createSymbolicLink(
        atPath: "\(directory)/\(name)", withDestinationPath: "\(source)/\(name)")
    }
    if let weights {
      let file = "\(directory)/model.safetensors"
      try FileManager.default.removeItem(atPath: file)
      try Data(weights(Fixtures.bytes("\(fixture)/model.safetensors"))).write(to: URL(fileURLWithPath: file))
    }
    var json = try JSONValue.parse(Fixtures.bytes("\(fixture)/config.json")).object ?? [:]
    for (key, value) in edits { json[key] = value }
    try Data(JSONValue.object(json).serialized().utf8).write(to: folder.appendingPathComponent("config.json"))
  }

  func open() throws -> Checkpoint { try Checkpoint.open(directory) }

  deinit { try? FileManager.default.removeItem(atPath: directory) }
}
