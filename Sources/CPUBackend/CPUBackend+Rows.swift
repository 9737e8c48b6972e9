internal import CCPUBackend
package import Compute
internal import Numerics

extension CPUBackend {
  package func embed(
    tokens: TensorView, table: TensorView, positions: TensorView?, positionTable: TensorView?,
    into output: TensorView
  ) throws(KernelError) {
    let checks = OperandChecks("embed")
    try checks.matrix(output, "output")
    try checks.matrix(table, "table", columns: output.columns, types: DataType.floats)
    try checks.indices(tokens, "tokens", count: output.rows, limit: table.rows)
    if let positionTable {
      try checks.matrix(positionTable, "positionTable", columns: output.columns, types: DataType.floats)
      guard let positions else {
        throw .unsupported(operation: "embed", reason: "a position table needs positions")
      }
      try checks.indices(positions, "positions", count: output.rows, limit: positionTable.rows)
      gather(table, tokens, accumulate: false, into: output)
      gather(positionTable, positions, accumulate: true, into: output)
    } else {
      gather(table, tokens, accumulate: false, into: output)
    }
  }

  package func gatherRows(
    _ input: TensorView, rows: TensorView, into output: TensorView
  ) throws(KernelError) {
    let checks = OperandChecks("gatherRows")
    try checks.matrix(output, "output")
    try checks.matrix(input, "input", columns: output.columns, types: DataType.floats)
    try checks.indices(rows, "rows", count: output.rows, limit: input.rows)
    gather(input, rows, accumulate: false, into: output)
  }

  private func gather(_ table: TensorView, _ indices: TensorView, accumulate: Bool, into output: TensorView) {
    var arguments = unsafe gpi_gather_args(
      table: table.address, table_stride: table.rowStride, table_type: table.dataType.code,
      indices: indices.int32s, output: output.floats, output_stride: output.rowStride, rows: output.rows,
      columns: output.columns, accumulate: accumulate ? 1 : 0)
    unsafe gpi_gather(context, &arguments)
  }

  package func norm(
    _ parameters: NormParameters, residual: TensorView, adding input: TensorView?, into output: TensorView
  ) throws(KernelError) {
    let checks = OperandChecks("norm")
    try checks.matrix(residual, "residual")
    let (rows, columns) = (residual.rows, residual.columns)
    if let input { try checks.matrix(input, "input", rows: rows, columns: columns) }
    try checks.matrix(output, "output", rows: rows, columns: columns)
    try checks.vector(parameters.weight, "weight", count: columns, types: DataType.floats)
    if let bias = parameters.bias {
      try checks.vector(bias, "bias", count: columns, types: DataType.floats)
    }
    var arguments = unsafe gpi_norm_args(
      residual: residual.floats, residual_stride: residual.rowStride, adding: input?.floats,
      adding_stride: input?.rowStride ?? 0, output: output.floats, output_stride: output.rowStride,
      weight: parameters.weight.address, weight_type: parameters.weight.dataType.code,
      bias: parameters.bias?.address, bias_type: (parameters.bias?.dataType ?? .float32).code, rows: rows,
      columns: columns, epsilon: parameters.epsilon, subtract_mean: parameters.kind == .layer ? 1 : 0)
    unsafe gpi_norm(context, &arguments)
  }

  package func rope(
    _ parameters: RopeParameters, positions: TensorView, query: TensorView, key: TensorView
  ) throws(KernelError) {
    let checks = OperandChecks("rope")
    let rotary = parameters.rotaryDimension
    try checks.require(
      rotary >= 0 && rotary % 2 == 0 && rotary <= parameters.headDimension && parameters.headDimension > 0,
      "a rotary dimension of \(rotary) in heads of \(parameters.headDimension)")
    try checks.matrix(parameters.table, "table", columns: rotary)
    try checks.matrix(query, "query")
    try checks.matrix(key, "key", rows: query.rows)
    try checks.heads(query, "query", of: parameters.headDimension)
    try checks.heads(key, "key", of: parameters.headDimension)
    try checks.indices(positions, "positions", count: query.rows, limit: parameters.table.rows)
    rotate(query, parameters, positions)
    rotate(key, parameters, positions)
  }

  private func rotate(_ rows: TensorView, _ parameters: RopeParameters, _ positions: TensorView) {
    var arguments = unsafe gpi_rope_args(
      rows: rows.floats, row_stride: rows.rowStride, table: parameters.table.floats,
      table_stride: parameters.table.rowStride, positions: positions.int32s, tokens: rows.rows,
      heads: rows.columns / parameters.headDimension, head_dim: parameters.headDimension,
      rotary_dim: parameters.rotaryDimension, interleaved: parameters.pairing == .interleaved ? 1 : 0)
    unsafe gpi_rope(context, &arguments)
  }

  package func activation(
    _ activation: Activation, gate: TensorView, up: TensorView?, into output: TensorView
  ) throws(KernelError) {
    try map(activation.code, gate, "gate", up, "up", into: output, OperandChecks("activation"))
  }

  package func add(_ input: TensorView, to accumulator: TensorView) throws(KernelError) {
    try map(GPI_ADD, accumulator, "accumulator", input, "input", into: accumulator, OperandChecks("add"))
  }

  private func map(
    _ map: gpi_map, _ gate: TensorView, _ gateName: String, _ up: TensorView?, _ upName: String,
    into output: TensorView, _ checks: OperandChecks
  ) throws(KernelError) {
    try checks.matrix(gate, gateName)
    if let up { try checks.matrix(up, upName, rows: gate.rows, columns: gate.columns) }
    try checks.matrix(output, "output", rows: gate.rows, columns: gate.columns)
    var arguments = unsafe gpi_map_args(
      map: map, gate: gate.floats, gate_stride: gate.rowStride, up: up?.floats, up_stride: up?.rowStride ?? 0,
      output: output.floats, output_stride: output.rowStride, rows: gate.rows, columns: gate.columns)
    unsafe gpi_map_rows(context, &arguments)
  }
}

extension Activation {
  fileprivate var code: gpi_map {
    switch self {
    case .silu: GPI_SILU
    case .gelu: GPI_GELU
    case .geluTanh: GPI_GELU_TANH
    case .relu: GPI_RELU
    }
  }
}
