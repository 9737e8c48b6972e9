internal import CCPUBackend
internal import Compute
internal import Numerics

/// Refuses operands before anything is computed; every error names the operation and the operand.
struct OperandChecks {
  let operation: String

  init(_ operation: String) { self.operation = operation }

  /// A view `[rows, columns]` of one of `types`; a dimension left out may be anything.
  func matrix(
    _ view: TensorView, _ operand: String, rows: Int? = nil, columns: Int? = nil,
    types: [DataType] = DataType.float32Only
  ) throws(KernelError) {
    try type(view, operand, types)
    let shape = view.shape
    guard shape.rank == 2, rows.map({ $0 == shape[0] }) ?? true, columns.map({ $0 == shape[1] }) ?? true,
      view.rowStride >= shape[1] || shape[0] <= 1
    else {
      let expected = "[\(rows.map(String.init) ?? "any"), \(columns.map(String.init) ?? "any")]"
      throw .shapeMismatch(operation: operation, operand: operand, found: shape.array, expected: expected)
    }
  }

  /// A matrix whose columns are whole heads.
  func heads(_ view: TensorView, _ operand: String, of dimension: Int) throws(KernelError) {
    guard view.columns % dimension == 0 else {
      throw .shapeMismatch(
        operation: operation, operand: operand, found: view.shape.array,
        expected: "columns in heads of \(dimension)")
    }
  }

  /// A contiguous view `[count]`.
  func vector(
    _ view: TensorView, _ operand: String, count: Int, types: [DataType] = DataType.float32Only
  ) throws(KernelError) {
    try type(view, operand, types)
    guard view.shape.rank == 1, view.shape[0] == count, view.rowStride == 1 || count <= 1 else {
      throw .shapeMismatch(
        operation: operation, operand: operand, found: view.shape.array, expected: "[\(count)], contiguous")
    }
  }

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

  func type(_ view: TensorView, _ operand: String, _ types: [DataType]) throws(KernelError) {
    guard types.contains(view.dataType) else {
      throw .unsupportedDataType(
        operation: operation, operand: operand, found: view.dataType, supported: types)
    }
  }

  func require(_ condition: Bool, _ reason: @autoclosure () -> String) throws(KernelError) {
    guard condition else { throw .unsupported(operation: operation, reason: reason()) }
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
