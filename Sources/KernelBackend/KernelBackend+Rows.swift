internal import CKernels
package import Compute
internal import Numerics

extension KernelBackend {
  package func embed(
    tokens: TensorView, table: TensorView, positions: TensorView?, positionTable: TensorView?,
    into output: TensorView
  ) throws(KernelError) {
    let checks = OperandChecks("embed")
    try dense(output, "output", checks)
    try dense(table, "table", columns: output.columns, checks)
    try checks.vector(tokens, "tokens", count: output.rows, types: [.int32])
    if let positionTable {
      try dense(positionTable, "positionTable", columns: output.columns, checks)
      guard let positions else {
        throw .unsupported(operation: "embed", reason: "a position table needs positions")
      }
      try checks.vector(positions, "positions", count: output.rows, types: [.int32])
    }
    try gather(
      table, tokens, positionTable == nil ? nil : positions, positionTable, into: output, checks.operation)
  }

  package func gatherRows(
    _ input: TensorView, rows: TensorView, into output: TensorView
  ) throws(KernelError) {
    let checks = OperandChecks("gatherRows")
    try dense(output, "output", checks)
    try checks.matrix(input, "input", columns: output.columns, types: [activationType])
    try checks.vector(rows, "rows", count: output.rows, types: [.int32])
    try gather(input, rows, nil, nil, into: output, checks.operation)
  }

  private func gather(
    _ table: TensorView, _ rows: TensorView, _ positions: TensorView?, _ positionTable: TensorView?,
    into output: TensorView, _ operation: String
  ) throws(KernelError) {
    var arguments = try unsafe gpi_kernel_embedding(
      element: element, count: count(output.rows, operation), width: count(output.columns, operation),
      rows: rows.int32s, table: table.address, table_stride: Int64(table.rowStride),
      positions: positions?.int32s,
      position_table: positionTable?.address, output: output.address)
    try unsafe launch(.embedding, &arguments, operation, describe: "rows of \(output.columns)")
  }

  package func norm(
    _ parameters: NormParameters, residual: TensorView, adding input: TensorView?, into output: TensorView
  ) throws(KernelError) {
    let checks = OperandChecks("norm")
    try dense(residual, "residual", checks)
    let (rows, columns) = (residual.rows, residual.columns)
    if let input { try dense(input, "input", rows: rows, columns: columns, checks) }
    try dense(output, "output", rows: rows, columns: columns, checks)
    try checks.vector(parameters.weight, "weight", count: columns, types: [activationType])
    if let bias = parameters.bias {
      try checks.vector(bias, "bias", count: columns, types: [activationType])
    }
    let rounding = unsafe takeRounding(of: output)
    var arguments = try unsafe gpi_kernel_norm(
      element: element, rows: count(rows, "norm"), width: count(columns, "norm"),
      epsilon: parameters.epsilon, residual: residual.address, input: input?.address,
      weight: parameters.weight.address, bias: parameters.bias?.address, output: output.address,
      rounded: rounding.target)
    try unsafe launch(
      parameters.kind == .rms ? .rmsNorm : .layerNorm, &arguments, "norm", describe: "rows of \(columns)")
    rounded = unsafe rounding.rounded
  }

  package func rope(
    _ parameters: RopeParameters, positions: TensorView, query: TensorView, key: TensorView
  ) throws(KernelError) {
    let checks = OperandChecks("rope")
    let (dimension, rotary) = (parameters.headDimension, parameters.rotaryDimension)
    try checks.require(
      rotary >= 0 && rotary % 2 == 0 && rotary <= dimension && dimension > 0,
      "a rotary dimension of \(rotary) in heads of \(dimension)")
    try checks.matrix(parameters.table, "table", columns: rotary, types: [.float32])
    try checks.matrix(query, "query", types: [activationType])
    try checks.matrix(key, "key", rows: query.rows, types: [activationType])
    try checks.heads(query, "query", of: dimension)
    try checks.heads(key, "key", of: dimension)
    try checks.vector(positions, "positions", count: query.rows, types: [.int32])
    try contiguous(parameters.table, "table", checks)
    var arguments = try unsafe gpi_kernel_rope(
      element: element, interleaved: parameters.pairing == .interleaved, tokens: count(query.rows, "rope"),
      query_heads: count(query.columns / dimension, "rope"),
      key_heads: count(key.columns / dimension, "rope"), head_dimension: count(dimension, "rope"),
      rotary: count(rotary, "rope"), query: query.address, query_stride: Int64(query.rowStride),
      key: key.address, key_stride: Int64(key.rowStride), positions: positions.int32s,
      table: parameters.table.floats)
    try unsafe launch(.rope, &arguments, "rope", describe: "\(rotary) of \(dimension) components")
  }

  package func activation(
    _ activation: Activation, gate: TensorView, up: TensorView?, into output: TensorView
  ) throws(KernelError) {
    let checks = OperandChecks("activation")
    try checks.matrix(gate, "gate", types: [activationType])
    let (rows, columns) = (gate.rows, gate.columns)
    if let up {
      try checks.matrix(up, "up", rows: rows, columns: columns, types: [activationType])
      try checks.require(
        up.rowStride == gate.rowStride || rows <= 1,
        "gate and up of different row strides, \(gate.rowStride) and \(up.rowStride)")
    }
    try dense(output, "output", rows: rows, columns: columns, checks)
    let rounding = unsafe takeRounding(of: output)
    var arguments = try unsafe gpi_kernel_activation(
      element: element, kind: activation.code, rows: count(rows, "activation"),
      width: count(columns, "activation"), gate: gate.address, up: up?.address,
      input_stride: Int64(gate.rowStride), output: output.address, rounded: rounding.target)
    try unsafe launch(.activation, &arguments, "activation", describe: "rows of \(columns)")
    rounded = unsafe rounding.rounded
  }

  package func add(_ input: TensorView, to accumulator: TensorView) throws(KernelError) {
    let checks = OperandChecks("add")
    try dense(accumulator, "accumulator", checks)
    try dense(input, "input", rows: accumulator.rows, columns: accumulator.columns, checks)
    var arguments = unsafe gpi_kernel_add(
      element: element, count: Int64(accumulator.shape.elementCount), accumulator: accumulator.address,
      input: input.address)
    try unsafe launch(.add, &arguments, "add", describe: "\(accumulator.shape)")
  }

  // MARK: Checks

  var element: gpi_kernel_element { activationType.element }

  /// A matrix of activations whose rows follow each other.
  func dense(
    _ view: TensorView, _ operand: String, rows: Int? = nil, columns: Int? = nil, _ checks: OperandChecks
  ) throws(KernelError) {
    try checks.matrix(view, operand, rows: rows, columns: columns, types: [activationType])
    try contiguous(view, operand, checks)
  }

  func contiguous(_ view: TensorView, _ operand: String, _ checks: OperandChecks) throws(KernelError) {
    try checks.require(
      view.rowStride == view.columns || view.rows <= 1,
      "\(operand) has rows \(view.rowStride) elements apart; the kernel reads contiguous ones of \(view.columns)"
    )
  }

  func count(_ value: Int, _ operation: String) throws(KernelError) -> Int32 {
    guard let count = Int32(exactly: value) else {
      throw .unsupported(operation: operation, reason: "a dimension of \(value)")
    }
    return count
  }
}

extension Activation {
  fileprivate var code: gpi_kernel_activation_kind {
    switch self {
    case .silu: GPI_KERNEL_SILU
    case .gelu: GPI_KERNEL_GELU
    case .geluTanh: GPI_KERNEL_GELU_TANH
    case .relu: GPI_KERNEL_RELU
    }
  }
}

extension TensorView {
  @unsafe var floats: UnsafeMutablePointer<Float> { unsafe address.assumingMemoryBound(to: Float.self) }
  @unsafe var int32s: UnsafeMutablePointer<Int32> { unsafe address.assumingMemoryBound(to: Int32.self) }
}
