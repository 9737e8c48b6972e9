internal import CCPUBackend
package import Compute
internal import Glibc
package import Numerics

/// Computes on the processor: the reference that GPU kernels are compared with, and an engine for laptops.
///
/// Activations are float32; weights stay as stored (float32, float16, bfloat16, mapped files included) and are
/// widened in registers. That is the reference. Asked for bfloat16, `linear` rounds its inputs to it and multiplies
/// pairs with one instruction, sums still in float32: twice as fast where the processor can, for a relative error of
/// 2⁻⁹ an input. Integer codes of 4 and 8 bits are exact in it and multiplied the same way (stored_pairs.h); other
/// quantised weights stay in float32. Each output element is reduced in one fixed order, so its bits depend neither on the other
/// rows of the batch, nor on chunking, threads or instruction set. Operations are done when they return.
@safe
package final class CPUBackend: Backend {
  package let name = "cpu"
  package let activationType = DataType.float32
  package let sharesHostMemory = true
  /// Threads that compute, the caller's included.
  package let threads: Int
  package let instructionSet: InstructionSet
  /// What the inputs of `linear` are multiplied as: float32 or bfloat16.
  package let productType: DataType
  let context: OpaquePointer
  /// For products in two steps; grows as needed.
  var temporaryStorage: Storage?

  /// - Parameters:
  ///   - threads: one per core that this process may use, if left out.
  ///   - instructionSet: the fastest this machine has, if left out.
  ///   - productType: float32 or bfloat16. Dense weights of other types are then rounded to bfloat16 when placed.
  /// - Precondition: `instructionSet` is available.
  package init(
    threads: Int? = nil, instructionSet: InstructionSet? = nil, productType: DataType = .float32
  ) {
    precondition(
      productType == .float32 || productType == .bfloat16, "products are float32 or bfloat16")
    let wanted = max(1, min(threads ?? ProcessorCount.available, 1024))
    let set = instructionSet ?? .best
    guard let context = unsafe gpi_cpu_create(Int32(wanted), set.code) else {
      preconditionFailure("\(set.rawValue) is not available on this processor, or memory has run out")
    }
    unsafe self.context = context
    self.threads = unsafe Int(gpi_cpu_threads(context))
    self.instructionSet = set
    self.productType = productType
  }

  deinit { unsafe gpi_cpu_destroy(context) }

  /// Zeroed pages that the system provides when they are first touched.
  package func allocate(byteCount: Int) throws(KernelError) -> Storage {
    guard byteCount >= 0 else {
      throw .unsupported(operation: "allocate", reason: "a byte count of \(byteCount)")
    }
    try checkMemory(byteCount)
    let count = max(byteCount, 1)
    let flags = MAP_PRIVATE | MAP_ANONYMOUS
    guard let base = unsafe mmap(nil, count, PROT_READ | PROT_WRITE, flags, -1, 0),
      unsafe base != UnsafeMutableRawPointer(bitPattern: -1)
    else { throw .outOfMemory(requestedBytes: byteCount, availableBytes: AvailableMemory.bytes) }
    // A wish: large pages need fewer address translations.
    if count >= 1 << 22 { unsafe madvise(base, count, MADV_HUGEPAGE) }
    return unsafe Storage(
      DeviceBuffer(adopting: base, byteCount: count) { base in unsafe munmap(base, count) })
  }

  package func place(_ tensor: Tensor) throws(KernelError) -> Tensor { tensor }

  package func place(_ weight: LinearWeight) throws(KernelError) -> LinearWeight {
    let checks = OperandChecks("place")
    if let bias = weight.bias {
      try checks.vector(bias.view, "bias", count: weight.outputs, types: DataType.floats)
    }
    switch weight.store {
    case .dense(let tensor):
      try checks.type(tensor.view, "weight", DataType.floats)
      guard productType == .bfloat16, tensor.dataType != .bfloat16 else { return weight }
      let rounded = try narrowed(tensor)
      do throws(StoreError) {
        return try LinearWeight(.dense(rounded), bias: weight.bias, correction: weight.correction)
      } catch {
        throw .unsupported(operation: "place", reason: "\(error)")
      }
    case .integer, .float8, .codebook, .blocks, .spqr, .sparse: return try place(stored: weight)
    case .placed: throw Self.unsupported(weight, "place")
    }
  }

  package func makeKVCache(_ geometry: KVCacheGeometry) throws(KernelError) -> any KVCache {
    let bytes = try geometry.checkedByteCount(DataType.floats + DataType.cacheCodes)
    try checkMemory(bytes)
    return CPUKVCache(
      geometry: geometry, keys: try allocate(byteCount: bytes / 2 + CPUKVCache.slackBytes),
      values: try allocate(byteCount: bytes / 2 + CPUKVCache.slackBytes))
  }

  package func upload(
    _ bytes: UnsafeRawBufferPointer, to destination: TensorView
  ) throws(KernelError) {
    let rowBytes = destination.columns * destination.dataType.byteCount
    let stride = destination.rowStride * destination.dataType.byteCount
    try checkBytes("upload", bytes.count, destination)
    guard let source = bytes.baseAddress else { return }
    for row in 0..<destination.rows {
      unsafe (destination.address + row * stride).copyMemory(
        from: source + row * rowBytes, byteCount: rowBytes)
    }
  }

  package func download(
    _ source: TensorView, to bytes: UnsafeMutableRawBufferPointer
  ) throws(KernelError) {
    let rowBytes = source.columns * source.dataType.byteCount
    let stride = source.rowStride * source.dataType.byteCount
    try checkBytes("download", bytes.count, source)
    guard let destination = bytes.baseAddress else { return }
    for row in 0..<source.rows {
      unsafe (destination + row * rowBytes).copyMemory(
        from: source.address + row * stride, byteCount: rowBytes)
    }
  }

  package func synchronize() throws(KernelError) {}

  /// The system hands out more than it has and fails on first touch; so large requests are compared with what there is.
  private func checkMemory(_ byteCount: Int) throws(KernelError) {
    if byteCount >= 1 << 26, let available = AvailableMemory.bytes, byteCount > available {
      throw .outOfMemory(requestedBytes: byteCount, availableBytes: available)
    }
  }

  private func checkBytes(_ operation: String, _ count: Int, _ view: TensorView) throws(KernelError) {
    let expected = view.shape.elementCount * view.dataType.byteCount
    guard count == expected else {
      throw .shapeMismatch(
        operation: operation, operand: "bytes", found: [count],
        expected: "\(expected) bytes for \(view.shape)")
    }
  }
}
