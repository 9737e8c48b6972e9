package import Compute

/// Why the quantised weights of a checkpoint cannot be read, or cannot be written in a format.
package enum QuantizationError: Error, Equatable, Sendable {
  /// A field of the quantisation's configuration that must be there.
  case missingField(String)
  case badField(String, found: String, allowed: String)
  /// Well-formed, but not implemented.
  case unsupported(String, found: String, supported: [String])
  case badPattern(String, pattern: String, reason: String)

  case missingTensor(String)
  case tensorShape(String, found: [Int], expected: String)
  case tensorType(String, found: String, expected: String)
  /// The configuration says that `module` is quantised, its tensors that it is not, or the reverse.
  case contradiction(module: String, tensor: String, reason: String)
  case store(module: String, StoreError)

  /// `format` has no way to say what the weight of `module` holds.
  case cannotHold(module: String, format: String, reason: String)
}

extension QuantizationError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .missingField(let field): "field \"\(field)\" is missing"
    case .badField(let field, let found, let allowed):
      "field \"\(field)\" is \(found); it must be \(allowed)"
    case .unsupported(let field, let found, let supported):
      "field \"\(field)\" is \(found), which is not supported; supported: "
        + supported.joined(separator: ", ")
    case .badPattern(let field, let pattern, let reason):
      "field \"\(field)\": the pattern \"\(pattern)\" cannot be used: \(reason)"
    case .missingTensor(let name): "tensor \"\(name)\" is missing; the checkpoint is incomplete"
    case .tensorShape(let name, let found, let expected):
      "tensor \"\(name)\" has shape \(found), expected \(expected)"
    case .tensorType(let name, let found, let expected):
      "tensor \"\(name)\" has type \(found), expected \(expected)"
    case .contradiction(let module, let tensor, let reason):
      "module \"\(module)\", tensor \"\(tensor)\": \(reason)"
    case .store(let module, let error): "module \"\(module)\": \(error)"
    case .cannotHold(let module, let format, let reason):
      "module \"\(module)\" cannot be written as \(format) without loss: \(reason)"
    }
  }
}
