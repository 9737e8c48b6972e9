internal import CCPUBackend
package import Compute
internal import Numerics

extension CPUBackend {
  /// The first matrix as any weight; the second one turned around, `[r, N]`, as `gpi_expand` reads it. What bfloat16 holds
  /// exactly, as it does all of an adapter that was stored in it, is kept in it. The scale stays apart, in float32.
  package func place(_ update: LowRankUpdate) throws(KernelError) -> LowRankUpdate {
    let checks = OperandChecks("place")
    guard case .dense(let down) = update.down.store, case .dense(let up) = update.up.store else {
      throw .unsupported(operation: "place", reason: "an update that is not dense")
    }
    try checks.type(down.view, "down", [.float32])
    try checks.type(up.view, "up", [.float32])
    let (rank, outputs) = (update.down.outputs, update.up.outputs)
    try checks.require(update.up.inputs == rank, "a rank of \(rank) and of \(update.up.inputs)")
    let turned = unsafe HostTensor.make(.float32, Shape(rank, outputs)) { bytes in
      let values = unsafe bytes.bindMemory(to: Float.self)
      let source = unsafe up.view.floats
      for output in 0..<outputs {
        for index in 0..<rank { unsafe values[index * outputs + output] = source[output * rank + index] }
      }
    }
    return LowRankUpdate(
      down: try place(LinearWeight(dense: try narrowedIfExact(down))),
      up: LinearWeight(dense: try narrowedIfExact(turned)), scale: update.scale)
  }

  private func narrowedIfExact(_ tensor: Tensor) throws(KernelError) -> Tensor {
    let values = unsafe UnsafeBufferPointer(start: tensor.view.floats, count: tensor.shape.elementCount)
    for index in values.indices where unsafe values[index].bitPattern & 0xFFFF != 0 { return tensor }
    return try narrowed(tensor)
  }

  /// Two products a run. A row's bits depend on nothing but the row and its update.
  package func add(
    _ runs: [LowRankRun], of input: TensorView, through shrunk: TensorView, to output: TensorView
  ) throws(KernelError) {
    let checks = OperandChecks("addLowRank")
    try checks.matrix(output, "output", rows: input.rows)
    for run in runs {
      guard case .dense(let up) = run.update.up.store else {
        throw .unsupported(operation: checks.operation, reason: "an update that was not placed here")
      }
      let rank = run.update.down.outputs
      try checks.matrix(up.view, "up", rows: rank, columns: output.columns, types: DataType.floats)
      try checks.require(
        run.rows.lowerBound >= 0 && run.rows.upperBound <= input.rows && rank <= shrunk.columns
          && shrunk.rows >= run.rows.upperBound,
        "rows \(run.rows) of \(input.rows) with rank \(rank) through \(shrunk.columns) columns")
      let (part, target) = (shrunk.rows(run.rows).columns(0..<rank), output.rows(run.rows))
      try linear(input.rows(run.rows), run.update.down, accumulate: false, into: part)
      var arguments = unsafe gpi_expand_args(
        input: part.floats, input_stride: part.rowStride, weight: up.view.address,
        weight_stride: up.view.rowStride, weight_type: up.dataType.code, scale: run.update.scale,
        output: target.floats, output_stride: target.rowStride, rows: part.rows, rank: rank,
        outputs: output.columns)
      unsafe gpi_expand(context, &arguments)
    }
  }
}
