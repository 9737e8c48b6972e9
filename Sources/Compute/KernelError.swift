package import Numerics

/// Everything that can go wrong while memory is reserved or an operation is enqueued.
package enum KernelError: Error, Equatable, Sendable {
  case outOfMemory(requestedBytes: Int, availableBytes: Int?)
  case unsupportedDataType(operation: String, operand: String, found: DataType, supported: [DataType])
  case shapeMismatch(operation: String, operand: String, found: [Int], expected: String)
  /// Element `index` of an integer operand (token ids, positions, slots, block tables…) lies outside `0..<limit`.
  case indexOutOfRange(operation: String, operand: String, index: Int, value: Int, limit: Int)
  case unsupported(operation: String, reason: String)
  case device(operation: String, code: Int, message: String)
}

extension KernelError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .outOfMemory(let requested, let available):
      let missing = available.map { "; \(Self.mebibytes(requested - $0)) MiB are missing" } ?? ""
      return "out of memory: \(Self.mebibytes(requested)) MiB were asked for\(missing)"
    case .unsupportedDataType(let operation, let operand, let found, let supported):
      let known = supported.map(\.rawValue).joined(separator: ", ")
      return "\(operation): \(operand) has type \(found.rawValue); supported: \(known)"
    case .shapeMismatch(let operation, let operand, let found, let expected):
      return "\(operation): \(operand) has shape \(found), expected \(expected)"
    case .indexOutOfRange(let operation, let operand, let index, let value, let limit):
      return "\(operation): \(operand)[\(index)] is \(value), outside 0..<\(limit)"
    case .unsupported(let operation, let reason):
      return "\(operation): \(reason)"
    case .device(let operation, let code, let message):
      return "\(operation): device error \(code): \(message)"
    }
  }

  /// Rounded up; a request may be as large as `Int.max`.
  private static func mebibytes(_ bytes: Int) -> Int { (bytes >> 20) + (bytes & 0xF_FFFF == 0 ? 0 : 1) }
}
