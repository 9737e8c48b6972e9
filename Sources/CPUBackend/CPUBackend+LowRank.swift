internal import CCPUBackend
package import Compute
internal import Numerics

extension CPUBackend {
  /// The first matrices as any weight; the second ones turned around, `[r, N]`, as `gpi_expand` reads them. What bfloat16
  /// holds exactly, as it does all of an adapter that was stored in it, is kept in it. The scale stays apart, in float32.
  package func place(_ updates: [LowRankUpdate?]) throws(KernelError) -> LowRankGroup {
    let (down, ranks) = try LowRankGroup.stacked(updates.compactMap { $0 }, OperandChecks("place"))
    var members: [LowRankGroup.Member] = []
    for (target, update) in updates.enumerated() {
      guard let update else { continue }
      let (rank, outputs) = (update.rank, update.up.shape[0])
      let turned = unsafe HostTensor.make(.float32, Shape(rank, outputs)) { bytes in
        let values = unsafe bytes.bindMemory(to: Float.self)
        let source = unsafe update.up.view.floats
        for output in 0..<outputs {
          for index in 0..<rank { unsafe values[index * outputs + output] = source[output * rank + index] }
        }
      }
      members.append(
        LowRankGroup.Member(
          target: target, ranks: ranks[members.count], up: LinearWeight(dense: try narrowedIfExact(turned)),
          scale: update.scale))
    }
    return LowRankGroup(
      down: try place(LinearWeight(dense: try narrowedIfExact(down))), members: members)
  }

  private func narrowedIfExact(_ tensor: Tensor) throws(KernelError) -> Tensor {
    let values = unsafe UnsafeBufferPointer(start: tensor.view.floats, count: tensor.shape.elementCount)
    for index in values.indices where unsafe values[index].bitPattern & 0xFFFF != 0 { return tensor }
    return try narrowed(tensor)
  }

  /// A row's bits depend on nothing but the row and its update.
  package func add(
    _ runs: [LowRankRun], of input: TensorView, through shrunk: TensorView, to outputs: [TensorView]
  ) throws(KernelError) {
    let checks = OperandChecks("addLowRank")
    for run in runs {
      let group = run.group
      try run.check(checks, of: input, through: shrunk, to: outputs)
      let part = shrunk.rows(run.rows).columns(0..<group.down.outputs)
      try linear(input.rows(run.rows), group.down, accumulate: false, into: part)
      for member in group.members {
        guard case .dense(let up) = member.up.store else {
          throw .unsupported(operation: checks.operation, reason: "an update that was not placed here")
        }
        let output = outputs[member.target]
        try checks.matrix(output, "output", rows: input.rows)
        try checks.matrix(
          up.view, "up", rows: member.ranks.count, columns: output.columns, types: DataType.floats)
        let (thin, target) = (part.columns(member.ranks), output.rows(run.rows))
        var arguments = unsafe gpi_expand_args(
          input: thin.floats, input_stride: thin.rowStride, weight: up.view.address,
          weight_stride: up.view.rowStride, weight_type: up.dataType.code, scale: member.scale,
          output: target.floats, output_stride: target.rowStride, rows: thin.rows, rank: member.ranks.count,
          outputs: output.columns)
        unsafe gpi_expand(context, &arguments)
      }
    }
  }
}
