internal import CKernels
package import Compute
internal import Numerics

extension KernelBackend {
  /// Copies to the device; numbers become the activation type, integers stay.
  package func place(_ tensor: Tensor) throws(KernelError) -> Tensor {
    let isNumber = DataType.placeable.contains(tensor.dataType)
    guard isNumber || tensor.dataType == .int32 else {
      throw .unsupportedDataType(
        operation: "place", operand: "tensor", found: tensor.dataType,
        supported: DataType.placeable + [.int32])
    }
    return try place(tensor, as: isNumber ? activationType : .int32)
  }

  /// Dense weights become the activation type, biases float32. Quantised and 2:4 stores stay as they are where there is a
  /// kernel for them (`widening(of:capability:)` says where not), and else are placed as the dense weight that they stand for.
  /// A low-rank correction stays two thin matrices.
  package func place(_ weight: LinearWeight) throws(KernelError) -> LinearWeight {
    let placed = try placeWithoutCorrection(weight)
    guard let correction = weight.correction, correction.rank > 0 else { return placed }
    let update = try place(correction)
    return try checking(weight) { () throws(StoreError) in
      try LinearWeight(placed.store, bias: placed.bias, correction: update)
    }
  }

  private func placeWithoutCorrection(_ weight: LinearWeight) throws(KernelError) -> LinearWeight {
    let checks = OperandChecks("place")
    var bias: Tensor?
    if let given = weight.bias {
      try checks.vector(given.view, "bias", count: weight.outputs, types: DataType.placeable)
      bias = try place(given, as: .float32)
    }
    let dense: Tensor
    if case .dense(let tensor) = weight.store {
      try checks.type(tensor.view, "weight", DataType.placeable)
      dense = try place(tensor, as: activationType)
    } else {
      try checking(weight) { () throws(StoreError) in try weight.store.validateValues() }
      if let coded = try checking(
        weight, { () throws(StoreError) in try CodedWeight(weight.store, capability: device.capability) })
      {
        let packed = try pack(coded)
        return try checking(weight) { () throws(StoreError) in try LinearWeight(.placed(packed), bias: bias) }
      }
      dense = try placeRows(of: weight)
    }
    try reserveScratch(outputs: weight.outputs, inputs: weight.inputs)
    return LinearWeight(dense: dense, bias: bias)
  }

  private func checking<Result>(
    _ weight: LinearWeight, _ body: () throws(StoreError) -> Result
  ) throws(KernelError) -> Result {
    do throws(StoreError) { return try body() } catch {
      throw .unsupported(operation: "place", reason: "\(weight.store.summary): \(error)")
    }
  }

  func place(_ tensor: Tensor, as type: DataType) throws(KernelError) -> Tensor {
    let placed = try empty(type, tensor.shape)
    let source = unsafe UnsafeRawPointer(tensor.view.address)
    let size = tensor.dataType.byteCount
    let (from, to) = (tensor.dataType.element, type.element)
    try unsafe uploadPieces(
      "place", count: tensor.shape.elementCount, unit: type.byteCount, to: placed.storage.address
    ) { start, count, slot in
      if type == tensor.dataType {
        unsafe slot.copyMemory(from: source + start * size, byteCount: count * size)
      } else {
        unsafe stream.table.convert(from, source + start * size, to, slot, Int64(count))
      }
    }
    // The host's memory may go away; and a weight that does not arrive should fail here.
    try stream.synchronize("place")
    return placed
  }

  /// Dequantises row by row.
  private func placeRows(of weight: LinearWeight) throws(KernelError) -> Tensor {
    let placed = try empty(activationType, Shape(weight.outputs, weight.inputs))
    let row = UnsafeMutableBufferPointer<Float>.allocate(capacity: weight.inputs)
    defer { unsafe row.deallocate() }
    let rowBytes = weight.inputs * activationType.byteCount
    let to = activationType.element
    for index in 0..<weight.outputs {
      unsafe weight.store.copyRow(index, into: row)
      guard let source = row.baseAddress else { break }
      try unsafe uploadPieces(
        "place", count: weight.inputs, unit: activationType.byteCount,
        to: placed.storage.address + index * rowBytes
      ) { start, count, slot in
        unsafe stream.table.convert(GPI_KERNEL_FLOAT32, source + start, to, slot, Int64(count))
      }
    }
    try stream.synchronize("place")
    return placed
  }

  private func empty(_ type: DataType, _ shape: Shape) throws(KernelError) -> Tensor {
    let (bytes, overflow) = shape.elementCount.multipliedReportingOverflow(by: type.byteCount)
    guard !overflow else { throw .outOfMemory(requestedBytes: .max, availableBytes: nil) }
    return Tensor(storage: try allocate(byteCount: bytes), shape: shape, dataType: type)
  }

  /// What a product with this weight will need, so that nothing is allocated when it is computed.
  private func reserveScratch(outputs: Int, inputs: Int) throws(KernelError) {
    guard let outputs = Int32(exactly: outputs), let inputs = Int32(exactly: inputs) else {
      throw .unsupported(operation: "place", reason: "a weight [\(outputs), \(inputs)]")
    }
    var arguments = unsafe gpi_kernel_linear()
    unsafe arguments.outputs = outputs
    unsafe arguments.inputs = inputs
    let bytes = unsafe stream.table.workspace(GPI_KERNEL_LINEAR, &arguments)
    _ = try scratch(atLeast: Int(bytes))
  }
}

extension DataType {
  /// What can be rounded to an activation type.
  static let placeable: [DataType] = [.float32, .float16, .bfloat16]
}
