internal import Compute
internal import Numerics

/// Buffers and weights for the operations of one decoder step, in the order a model enqueues them.
final class DecoderRun {
  private let shape: KernelBenchmark.DecoderShape
  private let backend: CPUBackend
  private let tokens: Int
  private let context: Int
  private let cache: any KVCache
  /// Weights of fewer layers than the model has, but far more than caches hold, used in turn.
  private var layers: [(qkv: LinearWeight, output: LinearWeight, gateUp: LinearWeight, down: LinearWeight)] =
    []
  private let head: LinearWeight
  private let normWeight: Tensor
  private let residual, hidden, qkv, attended, gateUp, activated, logits: Tensor
  private let positions, slots, starts, lengths, blocks: Tensor
  private let angles: Tensor

  private static let distinctLayers = 4

  init(
    _ benchmark: KernelBenchmark, _ shape: KernelBenchmark.DecoderShape, tokens: Int, context: Int,
    type: DataType
  ) throws(KernelError) {
    self.shape = shape
    self.tokens = tokens
    self.context = context
    backend = benchmark.backend
    let (queries, keys) = (shape.queryHeads * shape.headDimension, shape.keyValueHeads * shape.headDimension)
    let fused = queries + 2 * keys
    func weight(_ outputs: Int, _ inputs: Int) throws(KernelError) -> LinearWeight {
      let storage = try benchmark.filled(outputs * inputs * type.byteCount)
      return LinearWeight(dense: Tensor(storage: storage, shape: Shape(outputs, inputs), dataType: type))
    }
    func rows(_ count: Int, _ columns: Int) throws(KernelError) -> Tensor {
      Tensor(
        storage: try benchmark.filled(count * columns * 4), shape: Shape(count, columns), dataType: .float32)
    }
    func integers(_ count: Int, _ value: (Int) -> Int) throws(KernelError) -> Tensor {
      let tensor = Tensor(
        storage: try benchmark.backend.allocate(byteCount: count * 4), shape: Shape(count), dataType: .int32)
      for index in 0..<count { unsafe tensor.view.int32s[index] = Int32(value(index)) }
      return tensor
    }
    for _ in 0..<min(Self.distinctLayers, shape.layers) {
      layers.append(
        (
          qkv: try weight(fused, shape.hidden), output: try weight(shape.hidden, queries),
          gateUp: try weight(2 * shape.intermediate, shape.hidden),
          down: try weight(shape.hidden, shape.intermediate)
        ))
    }
    head = try weight(shape.vocabulary, shape.hidden)
    normWeight = Tensor(
      storage: try benchmark.filled(shape.hidden * 4), shape: Shape(shape.hidden), dataType: .float32)
    (residual, hidden) = (try rows(tokens, shape.hidden), try rows(tokens, shape.hidden))
    (qkv, attended) = (try rows(tokens, fused), try rows(tokens, queries))
    (gateUp, activated) = (try rows(tokens, 2 * shape.intermediate), try rows(tokens, shape.intermediate))
    logits = try rows(1, shape.vocabulary)
    angles = try rows(context, shape.headDimension)
    let blockCount = (context + 15) / 16
    cache = try backend.makeKVCache(
      KVCacheGeometry(
        layers: shape.layers, blockCount: blockCount, keyValueHeads: shape.keyValueHeads,
        headDimension: shape.headDimension, dataType: .float32))
    positions = try integers(tokens) { context - tokens + $0 }
    slots = try integers(tokens) { context - tokens + $0 }
    starts = try integers(2) { $0 * tokens }
    lengths = try integers(1) { _ in context }
    blocks = try integers(blockCount) { $0 }
  }

  /// Weights that a step multiplies with.
  var weightCount: Int {
    let sizes = layers[0]
    let perLayer = [sizes.qkv, sizes.output, sizes.gateUp, sizes.down].reduce(0) {
      $0 + $1.inputs * $1.outputs
    }
    return perLayer * shape.layers + head.inputs * head.outputs
  }

  var cacheBytes: Int {
    2 * shape.layers * context * shape.keyValueHeads * shape.headDimension * 4
  }

  func step() throws(KernelError) {
    for layer in 0..<shape.layers {
      let weights = layers[layer % layers.count]
      try backend.norm(norm, residual: residual.view, adding: nil, into: hidden.view)
      try backend.linear(hidden.view, weights.qkv, accumulate: false, into: qkv.view)
      try attend(layer)
      try backend.linear(attended.view, weights.output, accumulate: true, into: residual.view)
      try backend.norm(norm, residual: residual.view, adding: nil, into: hidden.view)
      try backend.linear(hidden.view, weights.gateUp, accumulate: false, into: gateUp.view)
      try backend.activation(
        .silu, gate: gateUp.view.columns(0..<shape.intermediate),
        up: gateUp.view.columns(shape.intermediate..<2 * shape.intermediate), into: activated.view)
      try backend.linear(activated.view, weights.down, accumulate: true, into: residual.view)
    }
    try backend.linear(residual.view.rows(tokens - 1..<tokens), head, accumulate: false, into: logits.view)
  }

  private var norm: NormParameters { NormParameters(kind: .rms, weight: normWeight.view, epsilon: 1e-5) }

  private func attend(_ layer: Int) throws(KernelError) {
    let (queries, keys) = (shape.queryHeads * shape.headDimension, shape.keyValueHeads * shape.headDimension)
    let query = qkv.view.columns(0..<queries)
    let key = qkv.view.columns(queries..<queries + keys)
    try backend.rope(
      RopeParameters(
        pairing: .halves, headDimension: shape.headDimension, rotaryDimension: shape.headDimension,
        table: angles.view),
      positions: positions.view, query: query, key: key)
    try backend.appendKV(
      key: key, value: qkv.view.columns(queries + keys..<queries + 2 * keys), slots: slots.view, cache: cache,
      layer: layer)
    try backend.attention(
      AttentionParameters(
        queryHeads: shape.queryHeads, keyValueHeads: shape.keyValueHeads, headDimension: shape.headDimension,
        scale: 0.125), query: query, cache: cache, layer: layer,
      batch: AttentionBatch(
        queryStarts: starts.view, contextLengths: lengths.view,
        blockTables: unsafe TensorView(
          address: blocks.view.address, shape: Shape(1, blocks.shape[0]), dataType: .int32),
        sequenceCount: 1, maxQueryLength: tokens, maxContextLength: context), into: attended.view)
  }
}
