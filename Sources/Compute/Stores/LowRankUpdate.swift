internal import Numerics

/// What a LoRA adapter adds to one linear layer: `output += scale · (input · downᵀ) · upᵀ`.
package struct LowRankUpdate {
  /// `[r, K]`
  package var down: LinearWeight
  /// `[N, r]`
  package var up: LinearWeight
  package var scale: Float

  package init(down: LinearWeight, up: LinearWeight, scale: Float) {
    self.down = down
    self.up = up
    self.scale = scale
  }

  /// Of tensors that were not placed yet, float32.
  package init(down: Tensor, up: Tensor, scale: Float) {
    self.init(down: LinearWeight(dense: down), up: LinearWeight(dense: up), scale: scale)
  }
}

/// Rows of a step that have one update.
package struct LowRankRun {
  package var update: LowRankUpdate
  package var rows: Range<Int>

  package init(_ update: LowRankUpdate, rows: Range<Int>) {
    self.update = update
    self.rows = rows
  }
}

extension Backend {
  /// Where the two products of a run are products like any other: the scale goes into `up`, in float32.
  package func place(_ update: LowRankUpdate) throws(KernelError) -> LowRankUpdate {
    guard case .dense(let up) = update.up.store, up.dataType == .float32 else {
      throw .unsupported(operation: "place", reason: "an update that is not float32")
    }
    let scaled = unsafe HostTensor.make(.float32, up.shape) { bytes in
      let values = unsafe bytes.bindMemory(to: Float.self)
      let source = unsafe up.view.address.assumingMemoryBound(to: Float.self)
      for index in values.indices { unsafe values[index] = source[index] * update.scale }
    }
    return LowRankUpdate(
      down: try place(update.down), up: try place(LinearWeight(dense: scaled)), scale: 1)
  }

  package func add(
    _ runs: [LowRankRun], of input: TensorView, through shrunk: TensorView, to output: TensorView
  ) throws(KernelError) {
    for run in runs {
      let part = shrunk.rows(run.rows).columns(0..<run.update.down.outputs)
      try linear(input.rows(run.rows), run.update.down, accumulate: false, into: part)
      try linear(part, run.update.up, accumulate: true, into: output.rows(run.rows))
    }
  }
}
