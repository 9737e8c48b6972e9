import Checkpoints
import Foundation
import JSON
import TestSupport
import Testing

/// A model of six layers of which every third sees all keys and the others a window of 24: the layers of tiny/qwen2 twice
/// over. Its files are deleted with it.
final class AlternatingModel {
  let path = FileManager.default.temporaryDirectory.path + "/alternating-\(UUID().uuidString)"

  init() throws {
    let source = try Checkpoint.open(Fixtures.path("tiny/qwen2"))
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    var fields = try #require(source.configuration.object)
    let kinds: [JSONValue] = ["sliding_attention", "sliding_attention", "full_attention"]
    fields["num_hidden_layers"] = 6
    fields["use_sliding_window"] = true
    fields["sliding_window"] = 24
    fields["layer_types"] = .array(kinds + kinds)
    let text = JSONValue.object(fields).serialized()
    try text.write(toFile: path + "/config.json", atomically: true, encoding: .utf8)

    // Layer 3 + i is layer i again.
    let copies: [(name: String, source: String)] = source.tensorNames.flatMap { name in
      let parts = name.split(separator: ".")
      guard parts.count > 3, parts[1] == "layers", let layer = Int(parts[2]) else { return [(name, name)] }
      let rest = parts.dropFirst(3).joined(separator: ".")
      return [(name, name), ("model.layers.\(layer + 3).\(rest)", name)]
    }
    var writer = try SafetensorsWriter(
      path: path + "/model.safetensors",
      tensors: try copies.map { name, original in
        let tensor = try #require(source.tensors[original])
        return .init(name: name, dataType: tensor.dataType, shape: tensor.shape)
      })
    for (name, original) in copies {
      let raw = try source.rawTensor(original)
      try unsafe writer.write(name, raw.bytes)
    }
    try writer.finish()
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}
