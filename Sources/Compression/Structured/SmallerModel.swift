internal import Checkpoints
internal import Compute
internal import JSON
internal import Numerics

/// An ordinary model with other shapes than its source: some tensors replaced, renamed or left out.
struct SmallerModel {
  let source: Checkpoint
  let configuration: JSONValue

  /// - Parameter names: of the source and of the output, in the output's order.
  func write(
    _ names: [(source: String, output: String)], replacing tensors: [String: OutputTensor] = [:],
    to output: String
  ) throws {
    try Journal.makeFolder(output)
    var writer = try SafetensorsWriter(
      path: output + "/model.safetensors",
      tensors: names.map { name in
        let entry = source.tensors[name.source]
        return tensors[name.source].map {
          .init(name: name.output, dataType: $0.tensor.dataType, shape: $0.shape)
        } ?? .init(name: name.output, dataType: entry?.dataType ?? .float32, shape: entry?.shape ?? [])
      }, metadata: [.init(key: "format", value: "pt")])
    for name in names {
      if let tensor = tensors[name.source]?.tensor {
        try unsafe writer.write(
          name.output, UnsafeRawBufferPointer(start: tensor.view.address, count: tensor.byteCount))
      } else {
        let raw = try source.rawTensor(name.source)
        try unsafe writer.write(name.output, raw.bytes)
      }
    }
    try writer.finish()
    try Journal.write(configuration, to: output + "/config.json")
    try FileNames.copyCompanions(from: source.path, to: output)
  }
}
