internal import CKernels
package import Compute
internal import Numerics

extension KernelBackend {
  /// Both matrices in the activation's type, their rank filled up with zeros to what the kernels multiply at once. The scale
  /// stays apart, in float32.
  package func place(_ update: LowRankUpdate) throws(KernelError) -> LowRankUpdate {
    let checks = OperandChecks("place")
    guard case .dense(let down) = update.down.store, case .dense(let up) = update.up.store else {
      throw .unsupported(operation: "place", reason: "an update that is not dense")
    }
    try checks.type(down.view, "down", [.float32])
    try checks.type(up.view, "up", [.float32])
    let (rank, inputs, outputs) = (update.down.outputs, update.down.inputs, update.up.outputs)
    try checks.require(update.up.inputs == rank, "a rank of \(rank) and of \(update.up.inputs)")
    let padded = (rank + lowRankUnit - 1) / lowRankUnit * lowRankUnit
    return LowRankUpdate(
      down: LinearWeight(
        dense: try place(Self.padded(down, to: Shape(padded, inputs)), as: activationType)),
      up: LinearWeight(dense: try place(Self.padded(up, to: Shape(outputs, padded)), as: activationType)),
      scale: update.scale)
  }

  /// As adapters are placed. The rows between both products lie in scratch memory, reserved here.
  func place(_ correction: LowRankCorrection) throws(KernelError) -> LowRankCorrection {
    let padded = (correction.rank + lowRankUnit - 1) / lowRankUnit * lowRankUnit
    let (inputs, outputs) = (correction.a.shape[1], correction.b.shape[0])
    let (a, b) = (
      HostTensor.copy(correction.a.floats, .float32, correction.a.shape),
      HostTensor.copy(correction.b.floats, .float32, correction.b.shape)
    )
    _ = try scratch(atLeast: Self.correctedRows * padded * activationType.byteCount)
    return LowRankCorrection(
      a: try place(Self.padded(a, to: Shape(padded, inputs)), as: activationType),
      b: try place(Self.padded(b, to: Shape(outputs, padded)), as: activationType))
  }

  /// Rows that are corrected at once.
  private static let correctedRows = 512

  /// `output += (input · Aᵀ) · Bᵀ` for a correction that was placed here.
  func add(
    _ correction: LowRankCorrection, of input: TensorView, to output: TensorView
  ) throws(KernelError) {
    let update = LowRankUpdate(
      down: LinearWeight(dense: correction.a), up: LinearWeight(dense: correction.b), scale: 1)
    let bytes = Self.correctedRows * correction.rank * activationType.byteCount
    guard let scratch = try scratch(atLeast: bytes) else {
      throw .outOfMemory(requestedBytes: bytes, availableBytes: nil)
    }
    for start in stride(from: 0, to: input.rows, by: Self.correctedRows) {
      let rows = start..<min(start + Self.correctedRows, input.rows)
      let shrunk = unsafe TensorView(
        address: scratch.address, shape: Shape(rows.count, correction.rank), dataType: activationType)
      try add(
        [LowRankRun(update, rows: 0..<rows.count)], of: input.rows(rows), through: shrunk,
        to: output.rows(rows))
    }
  }

  /// A copy with zeros behind its rows and columns.
  private static func padded(_ tensor: Tensor, to shape: Shape) -> Tensor {
    if tensor.shape == shape { return tensor }
    let (rows, columns) = (tensor.shape[0], tensor.shape[1])
    return unsafe HostTensor.make(.float32, shape) { bytes in
      let values = unsafe bytes.bindMemory(to: Float.self)
      let source = unsafe tensor.view.address.assumingMemoryBound(to: Float.self)
      unsafe values.update(repeating: 0)
      for row in 0..<rows {
        for column in 0..<columns {
          unsafe values[row * shape[1] + column] = source[row * columns + column]
        }
      }
    }
  }

  /// Two launches for all runs (of each 64): rows are grouped by adapter, and a block's rows have one.
  package func add(
    _ runs: [LowRankRun], of input: TensorView, through shrunk: TensorView, to output: TensorView
  ) throws(KernelError) {
    let name = "addLowRank"
    let checks = OperandChecks(name)
    guard let first = runs.first?.update else { return }
    let (inputs, outputs) = (first.down.inputs, first.up.outputs)
    try checks.matrix(input, "input", columns: inputs, types: [activationType])
    try checks.matrix(
      output, "output", rows: input.rows, columns: outputs, types: [activationType, .float32])
    try checks.matrix(shrunk, "shrunk", rows: input.rows, types: [activationType])
    var entries: [gpi_kernel_lora_run] = unsafe []
    unsafe entries.reserveCapacity(runs.count)
    for run in runs {
      guard case .dense(let down) = run.update.down.store, case .dense(let up) = run.update.up.store else {
        throw .unsupported(operation: name, reason: "an update that was not placed on this device")
      }
      let rank = down.shape[0]
      try checks.matrix(down.view, "down", rows: rank, columns: inputs, types: [activationType])
      try checks.matrix(up.view, "up", rows: outputs, columns: rank, types: [activationType])
      try checks.require(
        run.rows.lowerBound >= 0 && run.rows.upperBound <= input.rows && rank <= shrunk.columns
          && rank % lowRankUnit == 0,
        "rows \(run.rows) of \(input.rows) with rank \(rank) through \(shrunk.columns) columns")
      try unsafe entries.append(
        gpi_kernel_lora_run(
          down: down.view.address, up: up.view.address, first: count(run.rows.lowerBound, name),
          end: count(run.rows.upperBound, name), rank: count(rank, name), scale: run.update.scale))
    }
    try unsafe entries.withUnsafeBufferPointer { entries throws(KernelError) in
      var arguments = try unsafe gpi_kernel_lora(
        element: element, output_element: output.dataType.element, rows: count(input.rows, name),
        outputs: count(outputs, name), inputs: count(inputs, name), input: input.address,
        input_stride: Int64(input.rowStride), shrunk: shrunk.address,
        shrunk_stride: Int64(shrunk.rowStride), output: output.address,
        output_stride: Int64(output.rowStride), runs: entries.baseAddress,
        run_count: count(entries.count, name))
      try unsafe launch(
        .lowRank, &arguments, name, describe: "\(runs.count) adapters from \(inputs) to \(outputs)")
    }
  }
}
