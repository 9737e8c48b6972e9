internal import CKernels
package import Compute
internal import Numerics

/// Products with quantised weights, which stay codes on the device.
extension KernelBackend {
  /// Why a store is placed in 16 bits instead of as its codes; nil where a kernel multiplies the codes.
  package static func widening(of store: LinearWeight.Store) -> String? {
    switch store {
    case .dense, .placed: return nil
    case .float8, .codebook, .blocks, .spqr: return "no kernel takes \(store.summary)"
    case .integer(let weight):
      if weight.bits != 4 { return "no kernel takes int\(weight.bits) codes" }
      if weight.groupSize % 16 != 0, weight.groupSize != weight.inputs {
        return "groups of \(weight.groupSize), which are no multiple of 16"
      }
      if case .reals = weight.zero { return "zeros that are no codes" }
      if weight.outliers != nil { return "columns in 16 bits beside the codes" }
      if weight.activations != nil { return "activations rounded to int8, which stay in 16 bits then" }
      return nil
    }
  }

  /// Sends the parts to the device as they are stored, and has a kernel bring them into its layout.
  ///
  /// - Precondition: `widening(of:)` is nil, and act-order has been sorted.
  func pack(_ weight: IntegerWeight) throws(KernelError) -> PackedWeight {
    var zeros: Tensor?
    if case .integers(let given) = weight.zero { zeros = try place(given, as: given.dataType) }
    let codes = try place(weight.codes, as: .int32)
    let scales = try place(weight.scales, as: weight.scales.dataType)
    var format = unsafe gpi_kernel_weight_format()
    unsafe format.code = GPI_KERNEL_INT4
    unsafe format.outputs = try count(weight.outputs, "place")
    unsafe format.inputs = try count(weight.inputs, "place")
    unsafe format.group = try count(weight.groupSize, "place")
    unsafe format.scale_element = scales.dataType.element
    unsafe format.has_zeros = zeros != nil
    let bytes = unsafe Int(stream.table.packed_bytes(&format))
    guard bytes >= 0 else {
      throw .unsupported(
        operation: "place", reason: "no kernel takes int\(weight.bits) in groups of \(weight.groupSize)")
    }
    let storage = try allocate(byteCount: bytes)
    var arguments = unsafe gpi_kernel_repack()
    unsafe arguments.element = scales.dataType.element
    unsafe arguments.format = format
    unsafe arguments.codes = UnsafePointer(codes.view.address.assumingMemoryBound(to: UInt32.self))
    unsafe arguments.scales = UnsafeRawPointer(scales.view.address)
    unsafe arguments.zeros = zeros.map {
      unsafe UnsafePointer($0.view.address.assumingMemoryBound(to: UInt8.self))
    }
    unsafe arguments.packed = storage.address
    try unsafe launch(.repack, &arguments, "place", describe: "int\(weight.bits)")
    // The parts as they were stored go away.
    try withExtendedLifetime((codes, scales, zeros)) { () throws(KernelError) in
      try stream.synchronize("place")
    }
    var order: Tensor?
    if case .permuted(let given) = weight.order { order = try place(given, as: .int32) }
    let placed = unsafe PackedWeight(
      format, storage, order: order, summary: LinearWeight.Store.integer(weight).summary)
    _ = try quantizedScratch(placed, rows: Self.gatheredRows)
    return placed
  }

  /// Rows whose columns are gathered at once, for a weight with an order: bounds the memory that takes.
  private static let gatheredRows = 512

  func multiply(
    _ input: TensorView, _ weight: PackedWeight, bias: Tensor?, accumulate: Bool, into output: TensorView
  ) throws(KernelError) {
    guard let order = weight.order else {
      return try multiply(input, weight, bias, accumulate, output)
    }
    var start = 0
    while start < input.rows {
      let rows = start..<min(start + Self.gatheredRows, input.rows)
      let scratch = try quantizedScratch(weight, rows: rows.count)
      let target = unsafe scratch.storage.address + scratch.workspaceBytes
      let gathered = unsafe TensorView(
        address: target, shape: Shape(rows.count, weight.inputs), dataType: activationType)
      var arguments = unsafe gpi_kernel_gather_columns()
      unsafe arguments.element = element
      unsafe arguments.rows = try count(rows.count, "linear")
      unsafe arguments.width = weight.format.inputs
      unsafe arguments.order = UnsafePointer(order.view.int32s)
      unsafe arguments.input = UnsafeRawPointer(input.rows(rows).address)
      unsafe arguments.input_stride = Int64(input.rowStride)
      unsafe arguments.output = target
      try unsafe launch(.gatherColumns, &arguments, "linear", describe: "\(gathered.shape)")
      try multiply(gathered, weight, bias, accumulate, output.rows(rows))
      start = rows.upperBound
    }
  }

  /// The product itself; the columns of the input lie as the codes do.
  private func multiply(
    _ input: TensorView, _ weight: PackedWeight, _ bias: Tensor?, _ accumulate: Bool, _ output: TensorView
  ) throws(KernelError) {
    let scratch = try quantizedScratch(weight, rows: weight.order == nil ? 0 : input.rows)
    var arguments = unsafe gpi_kernel_quantized_linear()
    unsafe arguments.element = element
    unsafe arguments.output_element = output.dataType.element
    unsafe arguments.accumulate = accumulate
    unsafe arguments.rows = try count(input.rows, "linear")
    unsafe arguments.format = weight.format
    unsafe arguments.packed = UnsafeRawPointer(weight.storage.address)
    unsafe arguments.input = UnsafeRawPointer(input.address)
    unsafe arguments.input_stride = Int64(input.rowStride)
    unsafe arguments.bias = bias.map { unsafe UnsafePointer($0.view.floats) }
    unsafe arguments.output = output.address
    unsafe arguments.output_stride = Int64(output.rowStride)
    unsafe arguments.workspace = scratch.storage.address
    unsafe arguments.workspace_bytes = Int64(scratch.workspaceBytes)
    try unsafe launch(
      .quantizedLinear, &arguments, "linear",
      describe: "\(input.shape) by \(weight.summary) [\(weight.outputs), \(weight.inputs)]")
  }

  /// Scratch memory of a product: the kernel's workspace, then `rows` gathered rows.
  private func quantizedScratch(
    _ weight: PackedWeight, rows: Int
  ) throws(KernelError) -> (storage: Storage, workspaceBytes: Int) {
    var arguments = unsafe gpi_kernel_quantized_linear()
    unsafe arguments.format = weight.format
    let needed = unsafe Int(stream.table.workspace(GPI_KERNEL_QUANTIZED_LINEAR, &arguments))
    let workspaceBytes = (needed + 255) / 256 * 256
    let gathered = weight.order == nil ? 0 : rows * weight.inputs * activationType.byteCount
    // One byte where nothing is needed: the kernels take an address.
    guard let storage = try scratch(atLeast: max(workspaceBytes + gathered, 1)) else {
      throw .outOfMemory(requestedBytes: workspaceBytes + gathered, availableBytes: nil)
    }
    return (storage, workspaceBytes)
  }
}
