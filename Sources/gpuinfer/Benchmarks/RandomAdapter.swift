internal import Checkpoints
internal import Generation
internal import Glibc
internal import JSON
internal import Models
internal import Numerics

/// A PEFT adapter of all linear layers of a model with random weights, in a temporary folder: what an adapter costs does not
/// depend on its values.
enum RandomAdapter {
  /// Calls `body` with the folder, and removes it.
  static func with<Result>(
    rank: Int, for model: LoadedModel, _ body: (String) throws -> Result
  ) throws -> Result {
    var template = Array("/tmp/gpuinfer-adapter-XXXXXX".utf8CString)
    guard let created = unsafe mkdtemp(&template) else { throw Files.failure("create", "a folder in /tmp") }
    let folder = unsafe String(cString: created)
    let files = (weights: folder + "/adapter_model.safetensors", settings: folder + "/adapter_config.json")
    defer {
      _ = unsafe unlink(files.weights)
      _ = unsafe unlink(files.settings)
      _ = unsafe rmdir(folder)
    }
    let sites = try TensorInventory(model.configuration, in: model.checkpoint).sites(model.configuration)
    let shapes = sites.joined().flatMap { site in
      [("A", [rank, site.inputs]), ("B", [site.outputs, rank])].map { part, shape in
        SafetensorsWriter.Declaration(
          name: "base_model.model.\(site.module).lora_\(part).weight", dataType: .bfloat16, shape: shape)
      }
    }
    var random = SystemRandomNumberGenerator()
    var writer = try SafetensorsWriter(path: files.weights, tensors: shapes)
    for tensor in shapes {
      let values = (0..<tensor.shape[0] * tensor.shape[1]).map { _ in
        BFloat16(Float.random(in: -0.01...0.01, using: &random)).bitPattern
      }
      try writer.write(tensor.name, values)
    }
    try writer.finish()
    let settings: JSONValue = [
      "peft_type": "LORA", "r": .integer(Int64(rank)), "lora_alpha": .integer(Int64(rank)),
    ]
    let file = try AtomicFile(path: files.settings)
    try file.write(Array(settings.serialized().utf8), at: 0)
    try file.commit()
    return try body(folder)
  }
}
