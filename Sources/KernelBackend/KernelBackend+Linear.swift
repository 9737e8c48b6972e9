internal import CKernels
package import Compute
internal import Numerics

extension KernelBackend {
  package func linear(
    _ input: TensorView, _ weight: LinearWeight, accumulate: Bool, into output: TensorView
  ) throws(KernelError) {
    try linearWithoutCorrection(input, weight, accumulate: accumulate, into: output)
    if let correction = weight.correction { try add(correction, of: input, to: output) }
  }

  private func linearWithoutCorrection(
    _ input: TensorView, _ weight: LinearWeight, accumulate: Bool, into output: TensorView
  ) throws(KernelError) {
    let checks = OperandChecks("linear")
    try checks.matrix(input, "input", columns: weight.inputs, types: [activationType])
    try checks.matrix(
      output, "output", rows: input.rows, columns: weight.outputs, types: [activationType, .float32])
    if let bias = weight.bias {
      try checks.vector(bias.view, "bias", count: weight.outputs, types: [.float32])
    }
    if case .placed(let placed) = weight.store, let packed = placed as? PackedWeight {
      return try multiply(input, packed, bias: weight.bias, accumulate: accumulate, into: output)
    }
    guard case .dense(let tensor) = weight.store else {
      throw .unsupported(operation: "linear", reason: "a weight that was not placed on this device")
    }
    try checks.matrix(
      tensor.view, "weight", rows: weight.outputs, columns: weight.inputs, types: [activationType])
    var arguments = try unsafe gpi_kernel_linear(
      element: element, output_element: output.dataType.element, accumulate: accumulate,
      rows: count(input.rows, "linear"), outputs: count(weight.outputs, "linear"),
      inputs: count(weight.inputs, "linear"), input: input.address, input_stride: Int64(input.rowStride),
      weight: tensor.view.address, weight_stride: Int64(tensor.view.rowStride),
      bias: weight.bias?.view.floats, output: output.address, output_stride: Int64(output.rowStride),
      workspace: nil, workspace_bytes: 0)
    let needed = unsafe stream.table.workspace(GPI_KERNEL_LINEAR, &arguments)
    let scratch = try scratch(atLeast: Int(needed))
    unsafe arguments.workspace = scratch?.address
    unsafe arguments.workspace_bytes = Int64(scratch?.byteCount ?? 0)
    try unsafe launch(
      .linear, &arguments, "linear", describe: "\(input.shape) by [\(weight.outputs), \(weight.inputs)]")
  }
}
