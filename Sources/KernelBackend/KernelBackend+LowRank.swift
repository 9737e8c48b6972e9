internal import CKernels
package import Compute
internal import Numerics

extension KernelBackend {
  /// All matrices in the activation's type, their ranks filled up with zeros to what the kernels multiply at once. The scale
  /// stays apart, in float32.
  package func place(_ updates: [LowRankUpdate?]) throws(KernelError) -> LowRankGroup {
    let (down, ranks) = try LowRankGroup.stacked(
      updates.compactMap { $0 }, unit: lowRankUnit, OperandChecks("place"))
    var members: [LowRankGroup.Member] = []
    for (target, update) in updates.enumerated() {
      guard let update else { continue }
      let own = ranks[members.count]
      let up = Self.widened(update.up, to: own.count)
      members.append(
        LowRankGroup.Member(
          target: target, ranks: own, up: LinearWeight(dense: try place(up, as: activationType)),
          scale: update.scale))
    }
    return LowRankGroup(down: LinearWeight(dense: try place(down, as: activationType)), members: members)
  }

  /// As adapters are placed. The rows between both products lie in scratch memory, reserved here.
  func place(_ correction: LowRankCorrection) throws(KernelError) -> LowRankCorrection {
    let update = LowRankUpdate(
      down: HostTensor.copy(correction.a.floats, .float32, correction.a.shape),
      up: HostTensor.copy(correction.b.floats, .float32, correction.b.shape), scale: 1)
    let group = try place([update])
    guard case .dense(let a) = group.down.store, case .dense(let b)? = group.members.first?.up.store else {
      throw .unsupported(operation: "place", reason: "a correction without a rank")
    }
    _ = try scratch(atLeast: Self.correctedRows * a.shape[0] * activationType.byteCount)
    return LowRankCorrection(a: a, b: b)
  }

  /// Rows that are corrected at once.
  private static let correctedRows = 512

  /// `output += (input · Aᵀ) · Bᵀ` for a correction that was placed here.
  func add(
    _ correction: LowRankCorrection, of input: TensorView, to output: TensorView
  ) throws(KernelError) {
    let rank = correction.rank
    let group = LowRankGroup(
      down: LinearWeight(dense: correction.a),
      members: [.init(target: 0, ranks: 0..<rank, up: LinearWeight(dense: correction.b), scale: 1)])
    let bytes = Self.correctedRows * rank * activationType.byteCount
    guard let scratch = try scratch(atLeast: bytes) else {
      throw .outOfMemory(requestedBytes: bytes, availableBytes: nil)
    }
    for start in stride(from: 0, to: input.rows, by: Self.correctedRows) {
      let rows = start..<min(start + Self.correctedRows, input.rows)
      let shrunk = unsafe TensorView(
        address: scratch.address, shape: Shape(rows.count, rank), dataType: activationType)
      try add(
        [LowRankRun(group, rows: 0..<rows.count)], of: input.rows(rows), through: shrunk,
        to: [output.rows(rows)])
    }
  }

  /// A copy with zeros behind its columns.
  private static func widened(_ tensor: Tensor, to columns: Int) -> Tensor {
    let (rows, own) = (tensor.shape[0], tensor.shape[1])
    if own == columns { return tensor }
    return unsafe HostTensor.make(.float32, Shape(rows, columns)) { bytes in
      let values = unsafe bytes.bindMemory(to: Float.self)
      let source = unsafe tensor.view.address.assumingMemoryBound(to: Float.self)
      unsafe values.update(repeating: 0)
      for row in 0..<rows {
        for column in 0..<own { unsafe values[row * columns + column] = source[row * own + column] }
      }
    }
  }

  /// Two launches an output for all runs (of each 64): rows are grouped by adapter, and a block's rows have one.
  package func add(
    _ runs: [LowRankRun], of input: TensorView, through shrunk: TensorView, to outputs: [TensorView]
  ) throws(KernelError) {
    let checks = OperandChecks("addLowRank")
    try checks.matrix(input, "input", types: [activationType])
    try checks.matrix(shrunk, "shrunk", rows: input.rows, types: [activationType])
    for run in runs { try run.check(checks, of: input, through: shrunk, to: outputs) }
    for (target, output) in outputs.enumerated() { try add(runs, of: input, through: shrunk, target, output) }
  }

  private func add(
    _ runs: [LowRankRun], of input: TensorView, through shrunk: TensorView, _ target: Int,
    _ output: TensorView
  ) throws(KernelError) {
    let name = "addLowRank"
    let checks = OperandChecks(name)
    try checks.matrix(output, "output", rows: input.rows, types: [activationType, .float32])
    var entries: [gpi_kernel_lora_run] = unsafe []
    unsafe entries.reserveCapacity(runs.count)
    for run in runs {
      guard let member = run.group.members.first(where: { $0.target == target }) else { continue }
      guard case .dense(let stack) = run.group.down.store, case .dense(let up) = member.up.store else {
        throw .unsupported(operation: name, reason: "an update that was not placed on this device")
      }
      let rank = member.ranks.count
      try checks.matrix(stack.view, "down", columns: input.columns, types: [activationType])
      try checks.matrix(
        up.view, "up", rows: output.columns, columns: rank, types: [activationType])
      try checks.require(rank % lowRankUnit == 0, "a rank of \(rank)")
      try unsafe entries.append(
        gpi_kernel_lora_run(
          down: stack.view.rows(member.ranks).address, up: up.view.address,
          first: count(run.rows.lowerBound, name), end: count(run.rows.upperBound, name),
          rank: count(rank, name), scale: member.scale))
    }
    if unsafe entries.isEmpty { return }
    try unsafe entries.withUnsafeBufferPointer { entries throws(KernelError) in
      var arguments = try unsafe gpi_kernel_lora(
        element: element, output_element: output.dataType.element, rows: count(input.rows, name),
        outputs: count(output.columns, name), inputs: count(input.columns, name), input: input.address,
        input_stride: Int64(input.rowStride), shrunk: shrunk.address,
        shrunk_stride: Int64(shrunk.rowStride), output: output.address,
        output_stride: Int64(output.rowStride), runs: entries.baseAddress,
        run_count: count(entries.count, name))
      try unsafe launch(
        .lowRank, &arguments, name,
        describe: "\(entries.count) adapters from \(input.columns) to \(output.columns)")
    }
  }
}
