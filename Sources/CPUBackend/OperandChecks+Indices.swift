internal import CCPUBackend
internal import Compute
internal import Numerics

// What only the CPU checks: its operands' values can be read, and its loops may want memory.

extension OperandChecks {
  /// Integers of a contiguous int32 `[count]`, each in `0..<limit` (or −1 where `allowingNone`).
  func indices(
    _ view: TensorView, _ operand: String, count: Int, limit: Int, allowingNone: Bool = false
  ) throws(KernelError) {
    try vector(view, operand, count: count, types: DataType.int32Only)
    let values = unsafe view.int32s
    for index in 0..<count {
      let value = unsafe Int(values[index])
      if (value < 0 || value >= limit) && !(allowingNone && value == -1) {
        throw .indexOutOfRange(
          operation: operation, operand: operand, index: index, value: value, limit: limit)
      }
    }
  }

  /// The C loops say how many bytes of scratch memory they could not have.
  func finish(_ missingBytes: Int) throws(KernelError) {
    if missingBytes > 0 { throw .outOfMemory(requestedBytes: missingBytes, availableBytes: nil) }
  }
}

extension DataType {
  /// What weights, tables and caches may be stored as; widened to float32 in registers.
  static let floats: [DataType] = [.float32, .float16, .bfloat16]

  // Constants, so that a check allocates no array.
  static let float32Only: [DataType] = [.float32]
  static let int32Only: [DataType] = [.int32]

  /// - Precondition: one of `floats`.
  var code: gpi_type {
    switch self {
    case .float16: GPI_FLOAT16
    case .bfloat16: GPI_BFLOAT16
    default: GPI_FLOAT32
    }
  }
}

extension TensorView {
  @unsafe var floats: UnsafeMutablePointer<Float> { unsafe address.assumingMemoryBound(to: Float.self) }
  @unsafe var int32s: UnsafeMutablePointer<Int32> { unsafe address.assumingMemoryBound(to: Int32.self) }
}

extension OperandChecks {
  func matrix(
    _ view: TensorView, _ operand: String, rows: Int? = nil, columns: Int? = nil
  ) throws(KernelError) {
    try matrix(view, operand, rows: rows, columns: columns, types: DataType.float32Only)
  }

  func vector(_ view: TensorView, _ operand: String, count: Int) throws(KernelError) {
    try vector(view, operand, count: count, types: DataType.float32Only)
  }
}
