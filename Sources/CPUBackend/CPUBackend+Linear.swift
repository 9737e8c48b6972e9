internal import CCPUBackend
package import Compute
internal import Numerics

extension CPUBackend {
  package func linear(
    _ input: TensorView, _ weight: LinearWeight, accumulate: Bool, into output: TensorView
  ) throws(KernelError) {
    let checks = OperandChecks("linear")
    try checks.matrix(input, "input", columns: weight.inputs)
    try checks.matrix(output, "output", rows: input.rows, columns: weight.outputs)
    if let bias = weight.bias {
      try checks.vector(bias.view, "bias", count: weight.outputs, types: DataType.floats)
    }
    switch weight.store {
    case .dense(let tensor):
      try checks.matrix(
        tensor.view, "weight", rows: weight.outputs, columns: weight.inputs, types: DataType.floats)
      // A weight that was never placed, such as an embedding table tied to the output, keeps its type.
      let pairs = productType == .bfloat16 && tensor.dataType == .bfloat16
      var arguments = unsafe gpi_linear_args(
        input: input.floats, input_stride: input.rowStride,
        input_type: pairs ? GPI_BFLOAT16 : GPI_FLOAT32, weight: tensor.view.address,
        weight_stride: tensor.view.rowStride, weight_type: tensor.dataType.code,
        bias: weight.bias?.view.address, bias_type: (weight.bias?.dataType ?? .float32).code,
        output: output.floats, output_stride: output.rowStride, rows: input.rows, inputs: weight.inputs,
        outputs: weight.outputs, accumulate: accumulate ? 1 : 0)
      try checks.finish(unsafe gpi_linear(context, &arguments))
    case .integer, .float8, .codebook, .blocks, .spqr, .sparse:
      try linear(input, stored: weight, accumulate: accumulate, into: output)
    case .placed: throw Self.unsupported(weight, "linear")
    }
    if let correction = weight.correction { try add(correction, input, into: output) }
  }

  /// A copy rounded to bfloat16.
  func narrowed(_ tensor: Tensor) throws(KernelError) -> Tensor {
    let storage = try allocate(byteCount: tensor.shape.elementCount * DataType.bfloat16.byteCount)
    var arguments = unsafe gpi_narrow_args(
      source: tensor.view.address, type: tensor.dataType.code,
      destination: storage.address.assumingMemoryBound(to: UInt16.self), count: tensor.shape.elementCount)
    unsafe gpi_narrow(context, &arguments)
    return Tensor(storage: storage, shape: tensor.shape, dataType: .bfloat16)
  }

  static func unsupported(_ weight: LinearWeight, _ operation: String) -> KernelError {
    .unsupported(operation: operation, reason: "a weight stored as \(weight.store.summary)")
  }
}
