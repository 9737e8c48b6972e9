package import Compute
internal import Numerics
package import Scheduling

/// A layer in parts, on a residual stream that the caller holds: what calibration runs, one layer over all samples
/// before the next, so that a layer's weights can change between its parts.
///
///     residual ─► attentionInput ─► attention ─► addAttention ─► feedForwardInput ─► activated ─► addFeedForward
///                 norm              q k v, rope   o               norm                gate, up     down
///
/// Views that these return lie in the workspace and are valid until the next call. In a parallel block what both
/// halves add is collected in `pending` and joins the residual with the second half.
extension ModelGraph {
  /// Writes the residual stream before the first layer into `residual` `[T, H]`.
  package func embed(_ plan: StepPlan, cache: any KVCache, into residual: TensorView) throws(KernelError) {
    try embed(try stage(plan, cache))
    try copy(workspace.residual.prefix(rows: plan.tokens.count), to: residual)
  }

  package func attentionInput(_ layer: Int, _ residual: TensorView) throws(KernelError) -> TensorView {
    let hidden = workspace.hidden.prefix(rows: residual.rows)
    try backend.norm(passes[layer].attentionNorm, residual: residual, adding: nil, into: hidden)
    return hidden
  }

  /// What the output projection reads. `cache` is of `makeStageCache`.
  package func attention(
    _ layer: Int, _ hidden: TensorView, _ plan: StepPlan, cache: any KVCache
  ) throws(KernelError) -> TensorView {
    let step = try stage(plan, cache).narrowed(to: configuration, layer: layer)
    try attention(
      passes[layer], hidden, step, cache, place: CacheGroups.Place(group: 0, layer: stagePlace(of: layer)),
      index: layer)
    return step.attention
  }

  package func addAttention(
    _ layer: Int, _ attention: TensorView, to residual: TensorView, pending: TensorView?
  ) throws(KernelError) {
    try backend.linear(
      attention, passes[layer].weights.attentionOutput, accumulate: pending == nil,
      into: pending ?? residual)
  }

  package func feedForwardInput(_ layer: Int, _ residual: TensorView) throws(KernelError) -> TensorView {
    let hidden = workspace.hidden.prefix(rows: residual.rows)
    try backend.norm(passes[layer].feedForwardNorm, residual: residual, adding: nil, into: hidden)
    return hidden
  }

  /// What the output projection reads, from the stream behind the last layer.
  package func outputInput(_ residual: TensorView) throws(KernelError) -> TensorView {
    let hidden = workspace.hidden.prefix(rows: residual.rows)
    try backend.norm(finalNorm, residual: residual, adding: nil, into: hidden)
    return hidden
  }

  /// What the down projection reads.
  package func activated(_ layer: Int, _ hidden: TensorView) throws(KernelError) -> TensorView {
    let inner = workspace.feedForward(rows: hidden.rows).narrowed(
      to: configuration.intermediateSize(of: layer))
    try activate(passes[layer], hidden, inner, index: layer)
    return inner.activated
  }

  package func addFeedForward(
    _ layer: Int, _ activated: TensorView, to residual: TensorView, pending: TensorView?
  ) throws(KernelError) {
    try backend.linear(
      activated, passes[layer].weights.down, accumulate: true, into: pending ?? residual)
    if let pending { try backend.add(pending, to: residual) }
  }

  /// A pool for `blockCount` blocks of one layer; where layers differ in their heads, of one layer of each kind.
  package func makeStageCache(blockCount: Int) throws(KernelError) -> any KVCache {
    try backend.makeKVCache(stageGeometry(blockCount: blockCount))
  }

  private func stageGeometry(blockCount: Int) -> KVCacheGeometry {
    let geometry = cacheGeometry(blockCount: blockCount)
    return KVCacheGeometry(
      heads: headCounts, blockCount: blockCount, blockSize: geometry.blockSize,
      headDimension: geometry.headDimension, dataType: geometry.dataType)
  }

  /// Key/value heads that layers have, each number once, ascending.
  private var headCounts: [Int] {
    Set(configuration.layers.indices.map { configuration.keyValueHeads(of: $0) }).sorted()
  }

  /// A layer's place in a stage cache.
  private func stagePlace(of layer: Int) -> Int {
    headCounts.firstIndex(of: configuration.keyValueHeads(of: layer)) ?? 0
  }

  private func stage(_ plan: StepPlan, _ cache: any KVCache) throws(KernelError) -> StepViews {
    let batch = try admit(plan, cache, geometry: stageGeometry(blockCount: cache.geometry.blockCount))
    try send(plan)
    return StepViews(workspace, tokens: plan.tokens.count, batch: batch)
  }

  private func copy(_ source: TensorView, to target: TensorView) throws(KernelError) {
    try unsafe backend.upload(
      UnsafeRawBufferPointer(
        start: source.address, count: source.rows * source.columns * source.dataType.byteCount),
      to: target)
  }

  // MARK: Changing weights

  /// Puts a dense weight in the place of a linear layer's. Rows and bias in the order of the checkpoint.
  ///
  /// - Parameter bias: float32 `[outputs]`; nil keeps the present one.
  package func replace(_ site: LinearSite, weight: Tensor, bias: Tensor?) throws(KernelError) {
    var (weight, bias) = (weight, bias)
    if case .fused(_, .perHead) = configuration.decoder.attention, site.role == .queryKeyValue {
      weight = weight.stackingHeads(configuration.headDimension)
      bias = bias?.stackingHeads(configuration.headDimension)
    }
    let present = passes[site.layer].weights[site.role]
    precondition(weight.shape.array == [site.outputs, site.inputs], "a weight of another size")
    let placed = try backend.place(LinearWeight(dense: weight, bias: bias ?? present?.bias))
    recordings.removeAll()
    passes[site.layer].weights[site.role] = placed
  }

  /// Puts a layer's own weights back, so that what replaced them takes no memory any longer.
  package func restore(layer: Int) {
    let weights = weights.layers[layer]
    recordings.removeAll()
    passes[layer].weights = weights
    passes[layer].attentionNorm = weights.attentionNorm.parameters
    passes[layer].feedForwardNorm = weights.feedForwardNorm.parameters
  }

  package enum LayerNorm: String, Sendable, CaseIterable { case attention, feedForward }

  /// Puts other parameters in the place of a norm's; float32 `[H]`.
  package func replace(_ norm: LayerNorm, layer: Int, weight: Tensor, bias: Tensor?) throws(KernelError) {
    let weight = try backend.place(weight)
    var placedBias: Tensor?
    if let bias { placedBias = try backend.place(bias) }
    recordings.removeAll()
    passes[layer].replace(norm, weight: weight, bias: placedBias)
  }
}

extension ModelGraph.LayerPass {
  mutating func replace(_ norm: ModelGraph.LayerNorm, weight: Tensor, bias: Tensor?) {
    let old = norm == .attention ? weights.attentionNorm : weights.feedForwardNorm
    let new = NormWeights(kind: old.kind, epsilon: old.epsilon, weight: weight, bias: bias ?? old.bias)
    switch norm {
    case .attention:
      weights.attentionNorm = new
      attentionNorm = new.parameters
    case .feedForward:
      weights.feedForwardNorm = new
      feedForwardNorm = new.parameters
    }
  }
}

extension DecoderWeights.Layer {
  /// The weight of one linear layer; nil where this layer has none of the role.
  subscript(role: LinearSite.Role) -> LinearWeight? {
    get {
      switch (role, attention) {
      case (.query, .separate(let query, _, _)): query
      case (.key, .separate(_, let key, _)): key
      case (.value, .separate(_, _, let value)): value
      case (.queryKeyValue, .fused(let all)): all
      case (.query, _), (.key, _), (.value, _), (.queryKeyValue, _): nil
      case (.attentionOutput, _): attentionOutput
      case (.gate, _): gate
      case (.up, _): up
      case (.down, _): down
      }
    }
    set {
      guard let newValue else { return }
      switch (role, attention) {
      case (.query, .separate(_, let key, let value)):
        attention = .separate(query: newValue, key: key, value: value)
      case (.key, .separate(let query, _, let value)):
        attention = .separate(query: query, key: newValue, value: value)
      case (.value, .separate(let query, let key, _)):
        attention = .separate(query: query, key: key, value: newValue)
      case (.queryKeyValue, .fused): attention = .fused(newValue)
      case (.query, _), (.key, _), (.value, _), (.queryKeyValue, _): break
      case (.attentionOutput, _): attentionOutput = newValue
      case (.gate, _): gate = newValue
      case (.up, _): up = newValue
      case (.down, _): down = newValue
      }
    }
  }
}
