package import Numerics

/// Refuses operands before anything is computed; every error names the operation and the operand.
package struct OperandChecks {
  package let operation: String

  package init(_ operation: String) { self.operation = operation }

  /// A view `[rows, columns]` of one of `types`; a dimension left out may be anything.
  package func matrix(
    _ view: TensorView, _ operand: String, rows: Int? = nil, columns: Int? = nil, types: [DataType]
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
  package func heads(_ view: TensorView, _ operand: String, of dimension: Int) throws(KernelError) {
    guard view.columns % dimension == 0 else {
      throw .shapeMismatch(
        operation: operation, operand: operand, found: view.shape.array,
        expected: "columns in heads of \(dimension)")
    }
  }

  /// A contiguous view `[count]`.
  package func vector(
    _ view: TensorView, _ operand: String, count: Int, types: [DataType]
  ) throws(KernelError) {
    try type(view, operand, types)
    guard view.shape.rank == 1, view.shape[0] == count, view.rowStride == 1 || count <= 1 else {
      throw .shapeMismatch(
        operation: operation, operand: operand, found: view.shape.array, expected: "[\(count)], contiguous")
    }
  }

  package func type(_ view: TensorView, _ operand: String, _ types: [DataType]) throws(KernelError) {
    guard types.contains(view.dataType) else {
      throw .unsupportedDataType(
        operation: operation, operand: operand, found: view.dataType, supported: types)
    }
  }

  package func require(_ condition: Bool, _ reason: @autoclosure () -> String) throws(KernelError) {
    guard condition else { throw .unsupported(operation: operation, reason: reason()) }
  }
}

// MARK: Operands of attention

extension OperandChecks {
  /// Heads that fit the cache's layer and each other, and rules that make sense.
  package func attention(
    _ parameters: AttentionParameters, _ geometry: KVCacheGeometry, layer: Int
  ) throws(KernelError) {
    let heads = geometry.heads(of: layer)
    try require(
      parameters.keyValueHeads == heads && parameters.headDimension == geometry.headDimension,
      "\(parameters.keyValueHeads) key heads of \(parameters.headDimension) on a cache of "
        + "\(heads) of \(geometry.headDimension)")
    try require(
      parameters.queryHeads > 0 && parameters.queryHeads % parameters.keyValueHeads == 0,
      "\(parameters.queryHeads) query heads cannot share \(parameters.keyValueHeads) key heads evenly")
    try require(
      parameters.window.map { $0 > 0 } ?? true, "a window of \(parameters.window ?? 0) positions")
    try require(
      parameters.sinks == 0 || (parameters.sinks > 0 && parameters.window != nil),
      "\(parameters.sinks) sinks\(parameters.window == nil ? " without a window" : "")")
    try require(parameters.softcap.map { $0 > 0 } ?? true, "a softcap of \(parameters.softcap ?? 0)")
    if let slopes = parameters.alibiSlopes {
      try vector(slopes, "alibiSlopes", count: parameters.queryHeads, types: [.float32])
    }
    if let logits = parameters.sinkLogits {
      try vector(logits, "sinkLogits", count: parameters.queryHeads, types: [.float32])
    }
  }

  /// The cache as the backend's own type, and a layer it has.
  package func own<Cache: KVCache>(
    _ cache: any KVCache, layer: Int, as type: Cache.Type
  ) throws(KernelError) -> Cache {
    guard let own = cache as? Cache else {
      throw .unsupported(operation: operation, reason: "the cache was made by another backend")
    }
    guard layer >= 0, layer < own.geometry.layers else {
      throw .indexOutOfRange(
        operation: operation, operand: "layer", index: 0, value: layer, limit: own.geometry.layers)
    }
    return own
  }
}

extension KVCacheGeometry {
  /// Bytes of keys and values, which must be countable and the blocks whole pages of 16 tokens.
  package func checkedByteCount(_ types: [DataType]) throws(KernelError) -> Int {
    let checks = OperandChecks("makeKVCache")
    guard types.contains(dataType) else {
      throw .unsupportedDataType(
        operation: checks.operation, operand: "cache", found: dataType, supported: types)
    }
    var bytes = 1
    try checks.require(headDimension > 0 && headDimension <= 1 << 24, "a cache of \(self)")
    try checks.require(layers > 0 && layers <= 1 << 24, "a cache of \(self)")
    try checks.require(keyValueHeads > 0 && keyValueHeads <= 1 << 24, "a cache of \(self)")
    for layer in 0..<layers { try checks.require(heads(of: layer) > 0, "a cache of \(self)") }
    for factor in [2, heads(before: layers), blockCount, blockSize, headBytes] {
      let (product, overflow) = bytes.multipliedReportingOverflow(by: factor)
      try checks.require(factor > 0 && !overflow, "a cache of \(self)")
      bytes = product
    }
    try checks.require(blockSize % 16 == 0, "a block of \(blockSize) tokens, not a multiple of 16")
    return bytes
  }
}
