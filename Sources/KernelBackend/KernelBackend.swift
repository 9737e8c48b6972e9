internal import CKernels
package import Compute
package import Numerics

/// Computes with the CUDA kernels: on a GPU, or emulated thread by thread on the host. The code is one; only the table of
/// functions behind it differs.
///
/// Activations, weights and caches are bfloat16 or float16; logits, position tables and biases are float32. Weights of
/// another type are rounded when they are placed. Operations are enqueued on one stream and return at once.
///
/// Integers that lie on the device (tokens, positions, slots, block tables) cannot be looked at from here: whoever uploads
/// them has checked them.
package final class KernelBackend: Backend {
  package let library: KernelLibrary
  package let device: DeviceInformation
  package let activationType: DataType
  package let sharesHostMemory = false
  package var name: String { library.name }

  /// The variant to use for its operation whatever is preferred; where it does not take the arguments, the operation throws
  /// `unsupported`. A forced prefill, or decode, computes all sequences.
  package var forcedVariant: KernelVariant?

  /// Which variants have been launched since `forgetLaunches`, by their place in the table.
  private var launched: [Bool]

  let stream: KernelStream
  private let ring: StagingRing
  /// Memory that kernels need beside their operands; grows while weights are placed and caches made, and not later.
  private var scratch: Storage?
  var splitKeys = AttentionDemand.smallestSplit
  /// Operations are being recorded.
  var isRecording = false
  /// Of the next norm or activation.
  var expectedReaders: [LinearWeight] = []
  /// What the last norm or activation rounded, while it is certain that nothing has been written over it.
  var rounded: RoundedRows?
  /// Room for the rounded rows of one output; grows while weights are placed, and not later.
  var roundedStorage: Storage?

  /// Opens a device.
  ///
  /// - Parameters:
  ///   - index: which of the library's devices.
  ///   - workers: threads of the emulation; one per core is useful.
  /// - Precondition: the type is bfloat16 or float16.
  package init(
    _ library: KernelLibrary, activationType: DataType = .bfloat16, index: Int = 0, workers: Int = 1
  ) throws {
    precondition(DataType.sixteenBit.contains(activationType), "activations of \(activationType.rawValue)")
    let device = try KernelDevice(library, index: index, workers: workers)
    self.library = library
    launched = Array(repeating: false, count: library.variants.count)
    self.device = try device.information()
    self.activationType = activationType
    stream = try KernelStream(device)
    ring = try StagingRing(stream)
  }

  // MARK: Variants

  /// Launches the forced or the preferred variant.
  func launch<Arguments: BitwiseCopyable>(
    _ operation: KernelOperation, _ arguments: inout Arguments, _ name: String,
    describe: @autoclosure () -> String
  ) throws(KernelError) {
    try unsafe withUnsafePointer(to: &arguments) { pointer throws(KernelError) in
      let raw = unsafe UnsafeRawPointer(pointer)
      let index = try unsafe variant(of: operation, taking: raw, name, describe: describe())
      launched[Int(index)] = true
      if operation.mayWriteActivations { rounded = nil }
      try stream.check(unsafe stream.table.launch(stream.handle, index, raw), name)
    }
  }

  package func hasLaunched(_ variant: KernelVariant) -> Bool { launched[variant.index] }

  package func forgetLaunches() {
    for index in launched.indices { launched[index] = false }
  }

  private func variant(
    of operation: KernelOperation, taking arguments: UnsafeRawPointer, _ name: String,
    describe: @autoclosure () -> String
  ) throws(KernelError) -> Int32 {
    let context = unsafe stream.device.context
    if let forcedVariant, forcedVariant.operation == operation {
      let index = Int32(forcedVariant.index)
      if unsafe stream.table.accepts(context, index, arguments) { return index }
      throw .unsupported(
        operation: name, reason: "the variant \(forcedVariant.name) does not take \(describe())")
    }
    let index = unsafe stream.table.choose(context, operation.code, arguments)
    if index >= 0 { return index }
    let known = library.variants(of: operation).map { "\($0.name): \($0.takes)" }
    throw .unsupported(
      operation: name, reason: "no kernel takes \(describe()); there are \(known.joined(separator: "; "))")
  }

  // MARK: Memory

  /// Poisoned or undefined bytes, aligned to 256.
  package func allocate(byteCount: Int) throws(KernelError) -> Storage {
    guard byteCount >= 0 else {
      throw .unsupported(operation: "allocate", reason: "a byte count of \(byteCount)")
    }
    let device = stream.device
    let count = max(byteCount, 1)
    var base: UnsafeMutableRawPointer?
    device.allocations += 1
    let status = unsafe stream.table.allocate(device.context, Int64(count), &base)
    guard status == GPI_KERNEL_OK, let base = unsafe base else {
      if status != GPI_KERNEL_OUT_OF_MEMORY { try stream.check(status, "allocate") }
      throw .outOfMemory(
        requestedBytes: byteCount, availableBytes: (try? device.information())?.freeBytes)
    }
    return unsafe Storage(
      DeviceBuffer(adopting: base, byteCount: count) { base in
        unsafe device.library.table.pointee.release(device.context, base)
      })
  }

  package func upload(
    _ bytes: UnsafeRawBufferPointer, to destination: TensorView
  ) throws(KernelError) {
    try checkBytes("upload", bytes.count, destination)
    // These may be the rows that were rounded.
    rounded = nil
    guard let source = bytes.baseAddress else { return }
    let rowBytes = destination.columns * destination.dataType.byteCount
    let stride = destination.rowStride * destination.dataType.byteCount
    if rowBytes == stride || destination.rows == 1 {
      try unsafe uploadPieces("upload", count: bytes.count, unit: 1, to: destination.address) {
        start, count, slot in
        unsafe slot.copyMemory(from: source + start, byteCount: count)
      }
      return
    }
    for row in 0..<destination.rows {
      try unsafe uploadPieces("upload", count: rowBytes, unit: 1, to: destination.address + row * stride) {
        start, count, slot in
        unsafe slot.copyMemory(from: source + row * rowBytes + start, byteCount: count)
      }
    }
  }

  /// Uploads `count` elements of `unit` bytes in pieces that `fill` writes: first element, their number, and where to.
  func uploadPieces(
    _ operation: String, count: Int, unit: Int, to target: UnsafeMutableRawPointer,
    fill: (Int, Int, UnsafeMutableRawPointer) -> Void
  ) throws(KernelError) {
    let largest = StagingRing.slotBytes / unit
    var start = 0
    while start < count {
      let piece = min(largest, count - start)
      try unsafe ring.upload(operation, byteCount: piece * unit, to: target + start * unit) { slot in
        unsafe fill(start, piece, slot)
      }
      start += piece
    }
  }

  package func download(
    _ source: TensorView, to bytes: UnsafeMutableRawBufferPointer
  ) throws(KernelError) {
    try checkBytes("download", bytes.count, source)
    guard let destination = bytes.baseAddress else { return }
    let rowBytes = source.columns * source.dataType.byteCount
    try unsafe stream.fetch(
      "download", to: destination, pitch: rowBytes, from: source.address,
      pitch: source.rowStride * source.dataType.byteCount, rowBytes: rowBytes, rows: source.rows)
    try stream.synchronize("download")
  }

  package func makeStepBlock(
    in storage: Storage, from offset: Int, byteCount: Int
  ) throws(KernelError) -> any StepBlock {
    try KernelStepBlock(stream, in: storage, from: offset, byteCount: byteCount)
  }

  /// Copies from the host to the device so far, however they came about.
  package var sentCopies: Int { stream.sentCopies }

  /// Pieces of memory asked of the device, or pinned for it, so far.
  package var allocations: Int { stream.device.allocations }

  package func synchronize() throws(KernelError) { try stream.synchronize("synchronize") }

  package func makeKVCache(_ geometry: KVCacheGeometry) throws(KernelError) -> any KVCache {
    let bytes = try geometry.checkedByteCount([activationType] + DataType.cacheCodes)
    guard geometry.headDimension % 16 == 0 || geometry.dataType == activationType else {
      throw .unsupported(
        operation: "makeKVCache",
        reason: "heads of \(geometry.headDimension) components in 8 bits; the kernels take multiples of 16")
    }
    guard geometry.blockSize == KernelKVCache.blockSize else {
      throw .unsupported(
        operation: "makeKVCache",
        reason: "blocks of \(geometry.blockSize) tokens; the kernels' have \(KernelKVCache.blockSize)")
    }
    return KernelKVCache(geometry: geometry, storage: try allocate(byteCount: bytes))
  }

  package func reserve(_ demand: AttentionDemand) throws(KernelError) {
    // Of several models the longest sets the size of the parts; the others then have fewer.
    splitKeys = max(splitKeys, demand.splitKeys)
    _ = try scratch(atLeast: demand.scratchBytes)
  }

  /// Scratch memory, made larger if need be; what is enqueued may still use the old one.
  func scratch(atLeast byteCount: Int) throws(KernelError) -> Storage? {
    if byteCount == 0 { return scratch }
    if let scratch, scratch.byteCount >= byteCount { return scratch }
    guard !isRecording else {
      throw .unsupported(operation: "record", reason: "scratch memory of \(byteCount) bytes was not reserved")
    }
    try synchronize()
    let larger = try allocate(byteCount: byteCount)
    scratch = larger
    return larger
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

extension DataType {
  package static let sixteenBit: [DataType] = [.bfloat16, .float16]
}
