import CPUBackend
import Compute
import Numerics

/// The CPU backend with a list of the calls it got. Placing is not listed: it gives the tensor back.
final class SpyBackend: Backend {
  private let backend = CPUBackend(threads: 1)
  /// Rounds the operands of each product to bfloat16 and multiplies them in float32: what a backend that computes in
  /// bfloat16 may differ from by its summation only.
  private let roundsOperands: Bool

  init(roundsOperands: Bool = false) { self.roundsOperands = roundsOperands }

  private(set) var calls: [String] = []
  private(set) var allocatedBytes = 0

  var name: String { "spy" }
  var activationType: DataType { backend.activationType }
  var sharesHostMemory: Bool { backend.sharesHostMemory }

  func forget() { calls = [] }

  func allocate(byteCount: Int) throws(KernelError) -> Storage {
    calls.append("allocate")
    allocatedBytes += byteCount
    return try backend.allocate(byteCount: byteCount)
  }

  func place(_ tensor: Tensor) throws(KernelError) -> Tensor { try backend.place(tensor) }
  func place(_ weight: LinearWeight) throws(KernelError) -> LinearWeight {
    try roundsOperands ? CPUBackend(threads: 1, productType: .bfloat16).place(weight) : backend.place(weight)
  }

  func makeKVCache(_ geometry: KVCacheGeometry) throws(KernelError) -> any KVCache {
    calls.append("makeKVCache")
    return try backend.makeKVCache(geometry)
  }

  func upload(_ bytes: UnsafeRawBufferPointer, to destination: TensorView) throws(KernelError) {
    calls.append("upload")
    try unsafe backend.upload(bytes, to: destination)
  }

  /// A step that is sent is an upload.
  private final class Block: StepBlock {
    let inner: SharedStepBlock
    unowned let spy: SpyBackend

    init(_ inner: SharedStepBlock, _ spy: SpyBackend) {
      self.inner = inner
      self.spy = spy
    }

    var byteCount: Int { inner.byteCount }
    var address: UnsafeMutableRawPointer { unsafe inner.address }
    func open() -> UnsafeMutableRawPointer { unsafe inner.open() }
    func send(_ range: Range<Int>) { spy.calls.append("upload") }
  }

  func makeStepBlock(
    in storage: Storage, from offset: Int, byteCount: Int
  ) throws(KernelError) -> any StepBlock {
    Block(SharedStepBlock(in: storage, from: offset, byteCount: byteCount), self)
  }

  func download(_ source: TensorView, to bytes: UnsafeMutableRawBufferPointer) throws(KernelError) {
    calls.append("download")
    try unsafe backend.download(source, to: bytes)
  }

  func synchronize() throws(KernelError) { try backend.synchronize() }

  func embed(
    tokens: TensorView, table: TensorView, positions: TensorView?, positionTable: TensorView?,
    into output: TensorView
  ) throws(KernelError) {
    calls.append("embed")
    try backend.embed(
      tokens: tokens, table: table, positions: positions, positionTable: positionTable, into: output)
  }

  func norm(
    _ parameters: NormParameters, residual: TensorView, adding input: TensorView?, into output: TensorView
  ) throws(KernelError) {
    calls.append(input == nil ? "norm" : "add+norm")
    try backend.norm(parameters, residual: residual, adding: input, into: output)
  }

  func linear(
    _ input: TensorView, _ weight: LinearWeight, accumulate: Bool, into output: TensorView
  ) throws(KernelError) {
    calls.append(accumulate ? "linear+=" : "linear")
    // A table tied to the output is not placed: unless it is bfloat16 its products are float32.
    guard roundsOperands, case .dense(let tensor) = weight.store, tensor.dataType == .bfloat16 else {
      return try backend.linear(input, weight, accumulate: accumulate, into: output)
    }
    let inputs = try rounded(input)
    try backend.linear(inputs.view, weight, accumulate: accumulate, into: output)
    withExtendedLifetime(inputs) {}
  }

  private func rounded(_ view: TensorView) throws(KernelError) -> Tensor {
    let storage = try backend.allocate(byteCount: view.shape.elementCount * 4)
    let source = unsafe view.address.assumingMemoryBound(to: Float.self)
    let target = unsafe storage.address.assumingMemoryBound(to: Float.self)
    for row in 0..<view.rows {
      for column in 0..<view.columns {
        unsafe target[row * view.columns + column] =
          BFloat16(source[row * view.rowStride + column]).float
      }
    }
    return Tensor(storage: storage, shape: view.shape, dataType: .float32)
  }

  func rope(
    _ parameters: RopeParameters, positions: TensorView, query: TensorView, key: TensorView
  ) throws(KernelError) {
    calls.append("rope")
    try backend.rope(parameters, positions: positions, query: query, key: key)
  }

  func appendKV(
    key: TensorView, value: TensorView, slots: TensorView, cache: any KVCache, layer: Int
  ) throws(KernelError) {
    calls.append("appendKV")
    try backend.appendKV(key: key, value: value, slots: slots, cache: cache, layer: layer)
  }

  func attention(
    _ parameters: AttentionParameters, query: TensorView, cache: any KVCache, layer: Int,
    batch: AttentionBatch, into output: TensorView
  ) throws(KernelError) {
    calls.append("attention")
    try backend.attention(parameters, query: query, cache: cache, layer: layer, batch: batch, into: output)
  }

  func activation(
    _ activation: Activation, gate: TensorView, up: TensorView?, into output: TensorView
  ) throws(KernelError) {
    calls.append("activation")
    try backend.activation(activation, gate: gate, up: up, into: output)
  }

  func gatherRows(_ input: TensorView, rows: TensorView, into output: TensorView) throws(KernelError) {
    calls.append("gatherRows")
    try backend.gatherRows(input, rows: rows, into: output)
  }

  func add(_ input: TensorView, to accumulator: TensorView) throws(KernelError) {
    calls.append("add")
    try backend.add(input, to: accumulator)
  }
}
