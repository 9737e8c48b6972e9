package import Checkpoints
package import Compute

/// Everything that keeps a checkpoint from becoming a model that can run.
package enum ModelError: Error, Equatable, Sendable {
  /// `config.json` holds something other than an object.
  case notAnObject(file: String, field: String?)
  case missingField(file: String, field: String, allowed: String)
  case invalidField(file: String, field: String, found: String, allowed: String)
  /// The value is well-formed but names something this program does not implement.
  case unsupportedValue(file: String, field: String, found: String, supported: [String])
  /// Each field is valid alone; together they contradict each other.
  case conflictingFields(file: String, fields: [String], reason: String)

  case missingTensor(name: String, checkpoint: String)
  /// The checkpoint holds a tensor that the configuration says the model does not have.
  case unexpectedTensor(name: String, reason: String)
  case tensorShape(name: String, expected: [Int], found: [Int])
  case tensorType(name: String, found: String, supported: [String])

  /// A limit asked for by the caller that this model cannot honour.
  case limit(name: String, found: Int, allowed: String)
  /// A way to keep keys and values that this model cannot be run with.
  case policy(reason: String)
  /// Layers were to be quantised while they are loaded, and are quantised in the checkpoint.
  case quantised(module: String, scheme: String)
  /// A LoRA adapter that is damaged, not for this model, or of a kind that is not implemented.
  case adapter(path: String, reason: String)
  case checkpoint(CheckpointError)
  case kernel(KernelError)
}

extension ModelError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .notAnObject(let file, let field):
      let place = field.map { ": field \"\($0)\"" } ?? ""
      return "\(file)\(place) is not a JSON object"
    case .missingField(let file, let field, let allowed):
      return "\(file): field \"\(field)\" is missing; it must be \(allowed)"
    case .invalidField(let file, let field, let found, let allowed):
      return "\(file): field \"\(field)\" is \(found); it must be \(allowed)"
    case .unsupportedValue(let file, let field, let found, let supported):
      return
        "\(file): field \"\(field)\" is \(found), which is not supported; supported: "
        + supported.joined(separator: ", ")
    case .conflictingFields(let file, let fields, let reason):
      return "\(file): fields " + fields.map { "\"\($0)\"" }.joined(separator: ", ") + ": \(reason)"
    case .missingTensor(let name, let checkpoint):
      return "\(checkpoint): tensor \"\(name)\" is missing; the checkpoint is incomplete or of another model"
    case .unexpectedTensor(let name, let reason):
      return "tensor \"\(name)\" is in the checkpoint, but \(reason)"
    case .tensorShape(let name, let expected, let found):
      return "tensor \"\(name)\" has shape \(found), the configuration asks for \(expected)"
    case .tensorType(let name, let found, let supported):
      return
        "tensor \"\(name)\" has type \(found), which is not supported here; supported: "
        + supported.joined(separator: ", ")
    case .limit(let name, let found, let allowed):
      return "\(name) is \(found); it must be \(allowed)"
    case .quantised(let module, let scheme):
      return
        "--quantization rounds models in floating point, and \(module) is \(scheme) already; leave the flag "
        + "out"
    case .adapter(let path, let reason): return "adapter \(path): \(reason)"
    case .policy(let reason): return "--kv-policy cannot be used with this model: \(reason)"
    case .checkpoint(let error): return "\(error)"
    case .kernel(let error): return "\(error)"
    }
  }
}
