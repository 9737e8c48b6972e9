internal import CKernels
package import Compute
internal import Numerics

/// Products with quantised and 2:4 weights, which stay on the device as they are stored.
extension KernelBackend {
  /// The first compute capability with products of E4M3, in the unit of `DeviceInformation.capability`: that of the
  /// table's variant `w8a8.float8`.
  package static let float8Capability = 89

  /// Why a store is placed in 16 bits instead of as its codes; nil where a kernel multiplies the codes.
  ///
  /// - Parameter capability: of the device; left out, of one that has all kernels.
  package static func widening(of store: LinearWeight.Store, capability: Int = .max) -> String? {
    switch store {
    case .dense, .placed: return nil
    case .codebook, .blocks, .spqr: return "no kernel takes \(store.summary)"
    case .sparse(let weight): return sparseObstacle(weight)
    case .float8(let weight):
      if let obstacle = groupObstacle(min(weight.blockColumns, weight.inputs), weight.inputs) {
        return obstacle
      }
      return weight.activations.flatMap { roundingObstacle(weight, $0, capability) }
    case .integer(let weight):
      if let obstacle = groupObstacle(weight.groupSize, weight.inputs) { return obstacle }
      if case .reals = weight.zero { return "zeros that are no codes" }
      if weight.outliers != nil { return "columns in 16 bits beside the codes" }
      return weight.activations.flatMap { roundingObstacle(weight, $0) }
    }
  }

  private static func sparseObstacle(_ weight: SparseWeight) -> String? {
    guard weight.isTwoOfFour else { return "zeros in no pattern, by which tensor cores multiply anyway" }
    guard case .codes(let codes) = weight.values else { return nil }
    guard codes.bits == 4 || codes.bits == 8 else { return "no kernel takes \(weight.summary)" }
    if codes.groupSize % 32 != 0, codes.groupSize != weight.inputs {
      return "2:4 in groups of \(codes.groupSize), no multiple of 32"
    }
    if case .reals = codes.zero { return "zeros that are no codes" }
    return codes.activations.flatMap { sparseRoundingObstacle(weight, codes, $0) }
  }

  private static func sparseRoundingObstacle(
    _ weight: SparseWeight, _ codes: SparseCodes, _ activations: IntegerActivations
  ) -> String? {
    let rest = "; its activations stay in 16 bits"
    guard codes.bits == 8 else { return "2:4 int\(codes.bits) with activations rounded to int8" + rest }
    guard case .midpoint = codes.zero else { return "2:4 zeros with activations rounded to int8" + rest }
    if codes.groupSize % 64 != 0, codes.groupSize != weight.inputs {
      return "2:4 groups of \(codes.groupSize) with activations rounded to int8, no multiple of 64" + rest
    }
    if weight.inputs > 131_071 { return "\(weight.inputs) products of int8, whose sum may pass int32" + rest }
    switch activations {
    case .token(nil): return nil
    case .token: return "2:4 int8 with outliers in its activations, which stay in 16 bits then"
    case .tensor(let scale, let zero):
      return zero == 0 && scale > 0 && scale.isFinite
        ? nil : "activations rounded to int8 with a zero of their own" + rest
    }
  }

  private static func roundingObstacle(
    _ weight: IntegerWeight, _ activations: IntegerActivations
  ) -> String? {
    let rest = "; its activations stay in 16 bits"
    guard weight.bits == 8 else { return "int\(weight.bits) codes with activations rounded to int8" + rest }
    guard case .midpoint = weight.zero else { return "zeros with activations rounded to int8" + rest }
    if weight.groupSize % 32 != 0, weight.groupSize != weight.inputs {
      return "groups of \(weight.groupSize) with activations rounded to int8, no multiple of 32" + rest
    }
    if weight.inputs > 131_071 { return "\(weight.inputs) products of int8, whose sum may pass int32" + rest }
    if case .tensor(let scale, let zero) = activations, zero != 0 || !(scale > 0 && scale.isFinite) {
      return "activations rounded to int8 with a zero of their own" + rest
    }
    return nil
  }

  private static func roundingObstacle(
    _ weight: Float8Weight, _ activations: Float8Weight.Activations, _ capability: Int
  ) -> String? {
    let rest = "; its activations stay in 16 bits"
    guard capability >= float8Capability else {
      return "activations rounded to E4M3, which devices before compute capability "
        + "\(float8Capability / 10).\(float8Capability % 10) cannot multiply" + rest
    }
    let group = min(weight.blockColumns, weight.inputs)
    if group % 32 != 0, group != weight.inputs {
      return "groups of \(group) with activations rounded to E4M3, no multiple of 32" + rest
    }
    switch activations {
    case .token: return nil
    case .group(let size): return "activations rounded to E4M3 in groups of \(size)" + rest
    case .tensor(let scale):
      return scale > 0 && scale.isFinite ? nil : "activations rounded to E4M3 by a scale of \(scale)" + rest
    }
  }

  private static func groupObstacle(_ size: Int, _ inputs: Int) -> String? {
    size % 16 == 0 || size == inputs ? nil : "groups of \(size), which are no multiple of 16"
  }

  /// Sends the parts to the device as they are stored, and has a kernel bring them into its layout.
  func pack(_ weight: CodedWeight) throws(KernelError) -> PackedWeight {
    var zeros: Tensor?
    if let given = weight.zeros { zeros = try place(given, as: given.dataType) }
    var mask: Tensor?
    if let given = weight.mask { mask = try place(given, as: .uint8) }
    var scales: Tensor?
    if let given = weight.scales { scales = try place(given, as: given.dataType) }
    let codes = try place(
      weight.codes, as: weight.code == GPI_KERNEL_ELEMENTS ? activationType : weight.codes.dataType)
    var format = gpi_kernel_weight_format()
    format.code = weight.code
    format.sparsity = weight.mask == nil ? GPI_KERNEL_EVERY_INPUT : GPI_KERNEL_TWO_OF_FOUR
    format.outputs = try count(weight.outputs, "place")
    format.inputs = try count(weight.inputs, "place")
    format.group = try count(weight.groupSize, "place")
    format.scale_element = (scales ?? codes).dataType.element
    format.has_zeros = zeros != nil
    format.rounding = weight.rounding
    format.outlier_threshold = weight.outlierThreshold
    format.activation_scale = weight.activationScale
    let bytes = unsafe Int(stream.table.packed_bytes(&format))
    guard bytes >= 0 else {
      throw .unsupported(operation: "place", reason: "no kernel takes \(weight.summary)")
    }
    let storage = try allocate(byteCount: bytes)
    var arguments = unsafe gpi_kernel_repack()
    unsafe arguments.element = format.scale_element
    unsafe arguments.format = format
    unsafe arguments.codes = UnsafeRawPointer(codes.view.address)
    unsafe arguments.code_stride = Int64(codes.shape[1] * codes.dataType.byteCount)
    unsafe arguments.scales = scales.map { unsafe UnsafeRawPointer($0.view.address) }
    unsafe arguments.zeros = zeros.map {
      unsafe UnsafePointer($0.view.address.assumingMemoryBound(to: UInt8.self))
    }
    unsafe arguments.mask = mask.map {
      unsafe UnsafePointer($0.view.address.assumingMemoryBound(to: UInt8.self))
    }
    unsafe arguments.packed = storage.address
    try unsafe launch(.repack, &arguments, "place", describe: weight.summary)
    // The parts as they were stored go away.
    try withExtendedLifetime((codes, mask, scales, zeros)) { () throws(KernelError) in
      try stream.synchronize("place")
    }
    var order: Tensor?
    if let given = weight.order { order = try place(given, as: .int32) }
    let placed = PackedWeight(format, storage, order: order, summary: weight.summary)
    _ = try quantizedScratch(placed, rows: Self.piece)
    if format.rounding != GPI_KERNEL_KEEP_ACTIVATIONS { try reserveRoundedRows(format) }
    return placed
  }

  /// Rows at once for a weight that needs a copy of its input, gathered or rounded: bounds the memory of that.
  static let piece = 512

  /// Rounded rows take what a product's workspace would.
  private func reserveRoundedRows(_ format: gpi_kernel_weight_format) throws(KernelError) {
    var arguments = unsafe gpi_kernel_quantized_linear()
    unsafe arguments.format = format
    unsafe arguments.rows = try count(Self.piece, "place")
    let needed = unsafe Int(stream.table.workspace(GPI_KERNEL_QUANTIZED_LINEAR, &arguments))
    if roundedStorage.map({ $0.byteCount < needed }) ?? true {
      roundedStorage = try allocate(byteCount: needed)
    }
  }

  func multiply(
    _ input: TensorView, _ weight: PackedWeight, bias: Tensor?, accumulate: Bool, into output: TensorView
  ) throws(KernelError) {
    guard weight.copiesInput else {
      return try multiply(input, weight, bias, accumulate, output)
    }
    var start = 0
    while start < input.rows {
      let rows = start..<min(start + Self.piece, input.rows)
      let piece = try gathered(input.rows(rows), weight)
      try multiply(piece, weight, bias, accumulate, output.rows(rows))
      start = rows.upperBound
    }
  }

  /// The columns of the input in the weight's order, in scratch memory; the input itself where there is none.
  private func gathered(_ input: TensorView, _ weight: PackedWeight) throws(KernelError) -> TensorView {
    guard let order = weight.order else { return input }
    let scratch = try quantizedScratch(weight, rows: input.rows)
    let target = unsafe scratch.storage.address + scratch.workspaceBytes
    var arguments = unsafe gpi_kernel_gather_columns()
    unsafe arguments.element = element
    unsafe arguments.rows = try count(input.rows, "linear")
    unsafe arguments.width = weight.format.inputs
    unsafe arguments.order = UnsafePointer(order.view.int32s)
    unsafe arguments.input = UnsafeRawPointer(input.address)
    unsafe arguments.input_stride = Int64(input.rowStride)
    unsafe arguments.output = target
    try unsafe launch(.gatherColumns, &arguments, "linear", describe: "\(input.shape)")
    return unsafe TensorView(
      address: target, shape: Shape(input.rows, weight.inputs), dataType: activationType)
  }

  /// The product itself; the columns of the input lie as the codes do.
  private func multiply(
    _ input: TensorView, _ weight: PackedWeight, _ bias: Tensor?, _ accumulate: Bool, _ output: TensorView
  ) throws(KernelError) {
    let scratch = try quantizedScratch(weight, rows: weight.copiesInput ? input.rows : 0)
    var arguments = unsafe gpi_kernel_quantized_linear()
    unsafe arguments.element = element
    unsafe arguments.output_element = output.dataType.element
    unsafe arguments.accumulate = accumulate
    unsafe arguments.rows = try count(input.rows, "linear")
    unsafe arguments.format = weight.format
    unsafe arguments.packed = UnsafeRawPointer(weight.storage.address)
    unsafe arguments.input = UnsafeRawPointer(input.address)
    unsafe arguments.input_stride = Int64(input.rowStride)
    unsafe arguments.rounded = unsafe roundedRows(of: input, for: weight)
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
    unsafe arguments.rows = try count(rows, "linear")
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
