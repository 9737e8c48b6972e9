internal import Compute
internal import Numerics
internal import Scheduling

/// The memory of the forward pass: reserved once, described by views at full size, used by prefixes of their rows.
struct Workspace {
  let storage: Storage
  /// The residual stream, `[T, H]`.
  let residual: TensorView
  /// What a norm writes and a projection reads, `[T, H]`.
  let hidden: TensorView
  /// What a half layer adds to the residual, `[T, H]`.
  let projected: TensorView
  /// `[T, Hq·D]`, `[T, Hkv·D]` twice: columns of one buffer.
  let query: TensorView
  let key: TensorView
  let value: TensorView
  /// All three at once.
  let queryKeyValue: TensorView
  let attention: TensorView
  /// What an adapter's first matrix gives, `[T, adapterColumns]`; nil without adapters.
  let adapted: TensorView?
  /// `[T, I]`; with `up` columns of one buffer in a gated feed-forward, and `up` itself in a plain one.
  let gate: TensorView
  let up: TensorView
  let activated: TensorView
  /// `[R, H]`.
  let gatheredResidual: TensorView
  let gatheredProjected: TensorView
  /// float32 `[R, V]`.
  let logits: TensorView
  var step: StepInputs

  /// float32 `[maxModelLength, rotaryDimension]`; nil without rope. Of streams `[0, rotaryDimension]`: each step has its own.
  let rope: TensorView?
  /// nil but with rope and attention sinks.
  var streaming: StreamingPositions?
  /// float32 `[Hq]`; nil without ALiBi.
  let slopes: TensorView?

  init(
    _ configuration: ModelConfiguration, layout: WorkspaceLayout, limits: ModelLimits, backend: any Backend
  ) throws(KernelError) {
    let storage = try backend.allocate(byteCount: layout.byteCount)
    let type = backend.activationType
    func view(_ offset: Int, _ rows: Int, _ columns: Int, _ type: DataType) -> TensorView {
      unsafe TensorView(address: storage.address + offset, shape: Shape(rows, columns), dataType: type)
    }
    func vector(_ offset: Int, _ count: Int, _ type: DataType) -> TensorView {
      unsafe TensorView(address: storage.address + offset, shape: Shape(count), dataType: type)
    }
    let (tokens, rows) = (layout.maxTokens, layout.maxLogitRows)
    let (hiddenSize, inner) = (configuration.hiddenSize, configuration.intermediateSize)
    let (queries, keys) = (configuration.queryWidth, configuration.keyValueWidth)
    self.storage = storage
    residual = view(layout.residual, tokens, hiddenSize, type)
    hidden = view(layout.hidden, tokens, hiddenSize, type)
    projected = view(layout.projected, tokens, hiddenSize, type)
    queryKeyValue = view(layout.queryKeyValue, tokens, queries + 2 * keys, type)
    query = queryKeyValue.columns(0..<queries)
    key = queryKeyValue.columns(queries..<queries + keys)
    value = queryKeyValue.columns(queries + keys..<queries + 2 * keys)
    attention = view(layout.attention, tokens, queries, type)
    adapted = limits.maxAdapterRank > 0 ? view(layout.adapted, tokens, limits.adapterColumns, type) : nil
    if case .gated = configuration.decoder.feedForward {
      let both = view(layout.gateUp, tokens, 2 * inner, type)
      gate = both.columns(0..<inner)
      up = both.columns(inner..<2 * inner)
    } else {
      up = view(layout.gateUp, tokens, inner, type)
      gate = up
    }
    activated = view(layout.activated, tokens, inner, type)
    gatheredResidual = view(layout.gatheredResidual, rows, hiddenSize, type)
    gatheredProjected = view(layout.gatheredProjected, rows, hiddenSize, type)
    logits = view(layout.logits, rows, configuration.vocabularySize, .float32)
    step = StepInputs(
      layout.stepCapacity,
      try backend.makeStepBlock(in: storage, from: layout.step, byteCount: layout.stepCapacity.byteCount))

    switch configuration.decoder.positions {
    case .rope(let parameters):
      let length = limits.policy == nil ? limits.maxModelLength : 0
      rope = view(layout.rope, length, parameters.rotaryDimension, .float32)
      slopes = nil
      if let policy = limits.policy {
        // The length a stream may reach says nothing about how the rope was stretched in training.
        let length = configuration.defaultModelLength
        streaming = StreamingPositions(
          policy, frequencies: parameters.inverseFrequencies(modelLength: length),
          attentionFactor: parameters.attentionFactor,
          rows: vector(layout.streamRows, 2 * tokens, .int32),
          sinkQuery: view(layout.sinkQuery, tokens, queries, type), maxTokens: tokens)
      }
    case .alibi:
      rope = nil
      slopes = vector(layout.slopes, configuration.queryHeads, .float32)
    case .learned:
      rope = nil
      slopes = nil
    }
  }

  /// Computes the position tables on the host and copies them to the device.
  func fillTables(
    _ configuration: ModelConfiguration, limits: ModelLimits, backend: any Backend
  ) throws(KernelError) {
    if let slopes {
      try Self.upload(HostTensor.floats(AlibiSlopes.slopes(heads: configuration.queryHeads)), slopes, backend)
    }
    if let streaming { return try streaming.fillRows(backend) }
    guard let rope, case .rope(let parameters) = configuration.decoder.positions else { return }
    let frequencies = parameters.inverseFrequencies(modelLength: limits.maxModelLength)
    // In pieces: the table of a long context is large, and the host needs no copy of all of it.
    for start in stride(from: 0, to: limits.maxModelLength, by: 4096) {
      let positions = start..<Swift.min(start + 4096, limits.maxModelLength)
      let shape = Shape(positions.count, parameters.rotaryDimension)
      let rows = unsafe HostTensor.make(.float32, shape) { bytes in
        unsafe RopeTable.fill(
          bytes.bindMemory(to: Float.self), positions: positions, frequencies: frequencies,
          attentionFactor: parameters.attentionFactor)
      }
      try Self.upload(rows, rope.rows(positions), backend)
    }
  }

  private static func upload(
    _ tensor: Tensor, _ target: TensorView, _ backend: any Backend
  ) throws(KernelError) {
    try unsafe backend.upload(
      UnsafeRawBufferPointer(start: tensor.storage.address, count: tensor.byteCount), to: target)
    try backend.synchronize()
  }
}

/// What a feed-forward writes before its down projection: `[T, I]`.
struct FeedForwardViews {
  /// With `up` columns of one buffer in a gated feed-forward, and `up` itself in a plain one.
  let gate: TensorView
  let up: TensorView
  let activated: TensorView

  /// The first columns of gate and up, and as much of the other buffer as rows of that width take.
  ///
  /// - Precondition: `width` is at most what there is.
  func narrowed(to width: Int) -> FeedForwardViews {
    if width == activated.shape[1] { return self }
    precondition(width < activated.shape[1], "a layer wider than the workspace")
    return FeedForwardViews(
      gate: gate.columns(0..<width), up: up.columns(0..<width),
      activated: activated.reshaped(columns: width))
  }
}

extension TensorView {
  /// As many rows of fewer columns at the start of this memory.
  ///
  /// - Precondition: rows without gaps.
  func reshaped(columns: Int) -> TensorView {
    precondition(columns <= self.columns && rowStride == self.columns, "rows wider than the memory")
    return unsafe TensorView(address: address, shape: Shape(rows, columns), dataType: dataType)
  }
}

extension Workspace {
  func feedForward(rows: Int) -> FeedForwardViews {
    FeedForwardViews(
      gate: gate.prefix(rows: rows), up: up.prefix(rows: rows), activated: activated.prefix(rows: rows))
  }
}
