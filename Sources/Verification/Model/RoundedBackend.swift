package import Compute
package import Numerics

/// A backend whose weights are rounded to another type when they are placed.
///
/// In a layer trace the reference must differ from the candidate in nothing but its arithmetic: a float32 checkpoint
/// becomes bfloat16 on the device, so it becomes that here too; and a store that the device has no kernel for becomes the
/// dense weight that it becomes there, whose activations are not rounded.
package final class RoundedBackend: Backend {
  private let inner: any Backend
  private let weightType: DataType?
  private let widening: (LinearWeight.Store) -> String?
  /// Layers by what they are stored as, and why the candidate widens them.
  package private(set) var widened: [(stored: String, reason: String, layers: Int)] = []
  /// Layers with a low-rank correction.
  package private(set) var correctedLayers = 0

  /// - Parameters:
  ///   - weightType: nil leaves plain weights as they are.
  ///   - widening: why the candidate places a store as a dense weight; nil where it does not.
  /// - Precondition: `inner` shares the host's memory.
  package init(
    _ inner: any Backend, weightType: DataType?,
    widening: @escaping (LinearWeight.Store) -> String? = { _ in nil }
  ) {
    precondition(inner.sharesHostMemory, "weights are rounded in host memory")
    self.inner = inner
    self.weightType = weightType
    self.widening = widening
  }

  /// The reference of texts: what rounding plain weights costs is the device's affair and shows in the figures, but no
  /// text survives that one side rounds activations and the other does not. So only stores that round them and that the
  /// candidate widens are widened here.
  package static func ofTexts(
    _ inner: any Backend, widening: @escaping (LinearWeight.Store) -> String?
  ) -> RoundedBackend {
    RoundedBackend(inner, weightType: nil) { $0.roundsActivations ? widening($0) : nil }
  }

  package var name: String { inner.name }
  package var activationType: DataType { inner.activationType }
  package var sharesHostMemory: Bool { true }

  package func allocate(byteCount: Int) throws(KernelError) -> Storage {
    try inner.allocate(byteCount: byteCount)
  }

  package func place(_ tensor: Tensor) throws(KernelError) -> Tensor {
    try inner.place(try rounded(tensor))
  }

  /// A bias stays float32, as it does on devices.
  package func place(_ weight: LinearWeight) throws(KernelError) -> LinearWeight {
    var store = weight.store
    if case .dense(let tensor) = store {
      store = .dense(try rounded(tensor))
    } else if let reason = widening(store) {
      count(store.summary, reason)
      let shape = Shape(store.outputs, store.inputs)
      store = .dense(try rounded(HostTensor.copy(store.dequantized(), .float32, shape)))
    }
    var correction: LowRankCorrection?
    if let given = weight.correction {
      correctedLayers += 1
      correction = LowRankCorrection(a: try rounded(given.a), b: try rounded(given.b))
    }
    // Other quantised stores have one value for every device.
    let changed: LinearWeight
    do throws(StoreError) {
      changed = try LinearWeight(store, bias: weight.bias, correction: correction)
    } catch { throw .unsupported(operation: "place", reason: "\(error)") }
    return try inner.place(changed)
  }

  private func count(_ stored: String, _ reason: String) {
    if let index = widened.firstIndex(where: { $0.stored == stored && $0.reason == reason }) {
      widened[index].layers += 1
    } else {
      widened.append((stored, reason, 1))
    }
  }

  private func rounded(_ tensor: Tensor) throws(KernelError) -> Tensor {
    guard let weightType, tensor.dataType != weightType else { return tensor }
    let values = try Bench.download(tensor.view, from: inner)
    let result = Tensor(
      storage: try inner.allocate(byteCount: values.count * weightType.byteCount), shape: tensor.shape,
      dataType: weightType)
    try Bench.upload(values, to: result.view, of: inner)
    return result
  }

  package func makeKVCache(_ geometry: KVCacheGeometry) throws(KernelError) -> any KVCache {
    try inner.makeKVCache(geometry)
  }

  package func upload(
    _ bytes: UnsafeRawBufferPointer, to destination: TensorView
  ) throws(KernelError) {
    try unsafe inner.upload(bytes, to: destination)
  }

  package func download(
    _ source: TensorView, to bytes: UnsafeMutableRawBufferPointer
  ) throws(KernelError) {
    try unsafe inner.download(source, to: bytes)
  }

  package func synchronize() throws(KernelError) { try inner.synchronize() }

  package func embed(
    tokens: TensorView, table: TensorView, positions: TensorView?, positionTable: TensorView?,
    into output: TensorView
  ) throws(KernelError) {
    try inner.embed(
      tokens: tokens, table: table, positions: positions, positionTable: positionTable, into: output)
  }

  package func norm(
    _ parameters: NormParameters, residual: TensorView, adding input: TensorView?, into output: TensorView
  ) throws(KernelError) {
    try inner.norm(parameters, residual: residual, adding: input, into: output)
  }

  package func linear(
    _ input: TensorView, _ weight: LinearWeight, accumulate: Bool, into output: TensorView
  ) throws(KernelError) {
    try inner.linear(input, weight, accumulate: accumulate, into: output)
  }

  package func rope(
    _ parameters: RopeParameters, positions: TensorView, query: TensorView, key: TensorView
  ) throws(KernelError) {
    try inner.rope(parameters, positions: positions, query: query, key: key)
  }

  package func appendKV(
    key: TensorView, value: TensorView, slots: TensorView, cache: any KVCache, layer: Int
  ) throws(KernelError) {
    try inner.appendKV(key: key, value: value, slots: slots, cache: cache, layer: layer)
  }

  package func attention(
    _ parameters: AttentionParameters, query: TensorView, cache: any KVCache, layer: Int,
    batch: AttentionBatch, into output: TensorView
  ) throws(KernelError) {
    try inner.attention(parameters, query: query, cache: cache, layer: layer, batch: batch, into: output)
  }

  package func activation(
    _ activation: Activation, gate: TensorView, up: TensorView?, into output: TensorView
  ) throws(KernelError) {
    try inner.activation(activation, gate: gate, up: up, into: output)
  }

  package func gatherRows(
    _ input: TensorView, rows: TensorView, into output: TensorView
  ) throws(KernelError) {
    try inner.gatherRows(input, rows: rows, into: output)
  }

  package func add(_ input: TensorView, to accumulator: TensorView) throws(KernelError) {
    try inner.add(input, to: accumulator)
  }
}
