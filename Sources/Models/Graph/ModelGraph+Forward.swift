package import Compute
internal import Numerics
package import Scheduling

extension ModelGraph {
  /// Computes one step: keys and values of all its tokens into `cache`, and the logits it asks for.
  ///
  /// Enqueues only; nothing is allocated. A row's bits do not depend on what else is in the step.
  ///
  /// - Parameter sampling: how `sampler` will be asked to sample these logits, so that its settings are sent with the step;
  ///   nil where that is not known yet.
  /// - Returns: float32 `[plan.logitRows.count, vocabularySize]`, in the order of `logitRows`, valid until the
  ///   next call.
  /// - Throws: a plan that does not fit the limits or the cache, with nothing enqueued. More logit rows than
  ///   `limits.maxLogitRows` are refused: use `run` and `logits(of:)`.
  package func forward(
    _ plan: StepPlan, cache: any KVCache, sampling: SamplingBatch? = nil
  ) throws(KernelError) -> TensorView {
    guard plan.logitRows.count <= maxLogitRows else {
      throw .shapeMismatch(
        operation: "forward", operand: "logitRows", found: [plan.logitRows.count],
        expected: "at most \(maxLogitRows) rows at once")
    }
    if let shape = recordableShape(plan, cache) {
      return try forward(plan, as: shape, cache: cache, sampling: sampling)
    }
    try run(plan, cache: cache, sampling: sampling)
    return try logits(of: 0..<plan.logitRows.count)
  }

  /// Rows that one call of `logits(of:)` can give.
  package var maxLogitRows: Int { workspace.logits.rows }

  /// Computes all layers of a step; `logits(of:)` then gives its logits piece by piece.
  package func run(
    _ plan: StepPlan, cache: any KVCache, sampling: SamplingBatch? = nil
  ) throws(KernelError) {
    stepTokens = 0
    stepLogitRows = 0
    let batch = try admit(plan, cache)
    let tokens = plan.tokens.count
    guard tokens > 0 else { return }
    try send(plan, sampling)
    try feedSampledTokens(plan.tokenSources.count)

    try layers(
      StepViews(
        workspace, tokens: tokens, groups: plan.groupCount, batch: batch, adapterRuns: plan.adapterRuns),
      cache)
    stepTokens = tokens
    stepLogitRows = plan.logitRows.count
  }

  /// Puts the tokens that the step before sampled in the places of the first `count` tokens that ask for them.
  func feedSampledTokens(_ count: Int) throws(KernelError) {
    guard count > 0, let sampledTokens else { return }
    let inputs = workspace.step
    try sampledTokens.backend.feed(
      sampledTokens.tokens, sources: inputs.view(inputs.layout.tokenSources, count),
      into: inputs.view(inputs.layout.tokens, count))
  }

  func layers(_ step: StepViews, _ cache: any KVCache) throws(KernelError) {
    try embed(step)
    for (index, pass) in passes.enumerated() {
      try attention(pass, index, step, cache, isFirst: index == 0)
      try feedForward(pass, index, step)
    }
  }

  /// Copies all that the host knows of a step to the device: its integers, for streams the angles of its positions, and
  /// how its logits are sampled.
  func send(
    _ plan: borrowing StepPlan, decodePaddedTo rows: Int? = nil, _ sampling: SamplingBatch? = nil
  ) throws(KernelError) {
    let block = workspace.step.block
    let host = unsafe try block.open()
    var end = unsafe workspace.step.write(plan, decodePaddedTo: rows, to: host)
    if workspace.streaming != nil {
      end = unsafe workspace.streaming?.write(plan.positions, to: host, from: end) ?? end
    }
    if let sampling, let sampler { end = unsafe sampler.write(sampling, to: host, from: end) }
    try block.send(0..<end)
  }

  /// The logits of some of the last step's `logitRows`, by their place in it.
  ///
  /// - Returns: float32 `[range.count, vocabularySize]`, valid until the next call.
  package func logits(of range: Range<Int>) throws(KernelError) -> TensorView {
    let output = workspace.logits.prefix(rows: Swift.min(range.count, maxLogitRows))
    guard range.lowerBound >= 0, range.upperBound <= stepLogitRows, range.count <= maxLogitRows else {
      throw .shapeMismatch(
        operation: "logits", operand: "range", found: [range.lowerBound, range.upperBound],
        expected: "at most \(maxLogitRows) of the last step's \(stepLogitRows) rows")
    }
    guard !range.isEmpty else { return output }
    return try project(range, tokens: stepTokens)
  }

  /// Logits of some of the rows that the step inputs name, out of `tokens` rows of the residual stream.
  func project(_ range: Range<Int>, tokens: Int) throws(KernelError) -> TensorView {
    let output = workspace.logits.prefix(rows: range.count)
    let rows = workspace.step.view(workspace.step.layout.logitRows + range.lowerBound, range.count)
    let residual = workspace.gatheredResidual.prefix(rows: range.count)
    let projected = workspace.gatheredProjected.prefix(rows: range.count)
    let hidden = workspace.hidden.prefix(rows: range.count)
    try backend.gatherRows(workspace.residual.prefix(rows: tokens), rows: rows, into: residual)
    try backend.gatherRows(workspace.projected.prefix(rows: tokens), rows: rows, into: projected)
    try backend.norm(finalNorm, residual: residual, adding: projected, into: hidden)
    try observer?(.finalNorm, hidden)
    try backend.linear(hidden, weights.output, accumulate: false, into: output)
    try observer?(.logits, output)
    return output
  }
}

extension ModelGraph {
  /// What the output projection would read of some rows of the last step's tokens: the states behind the final norm.
  ///
  /// Each row may be asked for once, and no row whose logits are asked for later: the norm completes the residual stream
  /// in its place.
  ///
  /// - Returns: `[range.count, H]` in the activation's type, valid until the next call.
  package func states(of range: Range<Int>) throws(KernelError) -> TensorView {
    guard range.lowerBound >= 0, range.upperBound <= stepTokens else {
      throw .shapeMismatch(
        operation: "states", operand: "range", found: [range.lowerBound, range.upperBound],
        expected: "rows of the last step's \(stepTokens)")
    }
    let hidden = workspace.hidden.prefix(rows: range.count)
    if range.isEmpty { return hidden }
    try backend.norm(
      finalNorm, residual: workspace.residual.rows(range), adding: workspace.projected.rows(range),
      into: hidden)
    return hidden
  }
}

/// The workspace cut to the rows of one step.
struct StepViews {
  let residual: TensorView
  let hidden: TensorView
  let projected: TensorView
  private(set) var query: TensorView
  private(set) var key: TensorView
  private(set) var value: TensorView
  let queryKeyValue: TensorView
  private(set) var attention: TensorView
  let feedForward: FeedForwardViews
  /// int32 `[T]`.
  let tokens: TensorView
  let positions: TensorView
  /// Streams have one of their own for each step, float32 `[2 T, rotaryDimension]`; nil for the model's.
  let ropeTable: TensorView?
  /// Rows of the rope table: the positions, but for streams.
  let ropeRows: TensorView
  /// For the queries of the sinks; nil but for streams.
  let sinkRopeRows: TensorView?
  /// Tables of a sequence.
  let groups: Int
  private let slots: TensorView
  private let slotStride: Int
  /// `blockTables` has those of all groups.
  private var batch: AttentionBatch
  let adapterRuns: [AdapterRun]

  init(
    _ workspace: borrowing Workspace, tokens count: Int, groups: Int = 1, batch: AttentionBatch,
    adapterRuns: [AdapterRun] = []
  ) {
    residual = workspace.residual.prefix(rows: count)
    hidden = workspace.hidden.prefix(rows: count)
    projected = workspace.projected.prefix(rows: count)
    query = workspace.query.prefix(rows: count)
    key = workspace.key.prefix(rows: count)
    value = workspace.value.prefix(rows: count)
    queryKeyValue = workspace.queryKeyValue.prefix(rows: count)
    attention = workspace.attention.prefix(rows: count)
    feedForward = workspace.feedForward(rows: count)
    let inputs = workspace.step.layout
    tokens = workspace.step.view(inputs.tokens, count)
    positions = workspace.step.view(inputs.positions, count)
    self.groups = groups
    slots = workspace.step.view(inputs.slots, count)
    slotStride = inputs.slotStride
    self.adapterRuns = adapterRuns
    var batch = batch
    if let streaming = workspace.streaming {
      ropeTable = streaming.table(in: workspace.step.block, tokens: count)
      ropeRows = streaming.rows.rows(0..<count)
      sinkRopeRows = streaming.rows.rows(count..<2 * count)
      batch.sinkQuery = streaming.sinkQuery.prefix(rows: count)
    } else {
      ropeTable = nil
      ropeRows = positions
      sinkRopeRows = nil
    }
    self.batch = batch
  }

  /// The first columns of what attention reads and writes, for a layer with fewer heads than others.
  func narrowed(to configuration: ModelConfiguration, layer: Int) -> StepViews {
    if configuration.layers[layer].keyValueHeads == nil { return self }
    var own = self
    let (queries, keys) = (configuration.queryWidth(of: layer), configuration.keyValueWidth(of: layer))
    own.query = query.columns(0..<queries)
    own.key = key.columns(0..<keys)
    own.value = value.columns(0..<keys)
    own.attention = attention.reshaped(columns: queries)
    own.batch.sinkQuery = batch.sinkQuery?.reshaped(columns: queries)
    return own
  }

  /// int32 `[T]`: where a group's keys and values go.
  func slots(of group: Int) -> TensorView {
    unsafe TensorView(
      address: slots.address + group * slotStride * slots.dataType.byteCount, shape: slots.shape,
      dataType: slots.dataType)
  }

  /// The step as a group's layers see it.
  func batch(of group: Int) -> AttentionBatch {
    if groups == 1 { return batch }
    var own = batch
    let stride = batch.blockTables.columns / groups
    own.blockTables = batch.blockTables.columns(group * stride..<(group + 1) * stride)
    return own
  }

  var sinkQuery: TensorView? { batch.sinkQuery }
}

// MARK: The layers

extension ModelGraph {
  func embed(_ step: StepViews) throws(KernelError) {
    let target = embeddingNorm == nil ? step.residual : step.hidden
    let table = weights.positionEmbedding?.view
    try backend.embed(
      tokens: step.tokens, table: weights.tokenEmbedding.view,
      positions: table == nil ? nil : step.positions, positionTable: table, into: target)
    if let embeddingNorm {
      try backend.norm(embeddingNorm, residual: step.hidden, adding: nil, into: step.residual)
    }
    try observer?(.embedding, step.residual)
  }

  /// The attention half: afterwards `projected` holds what it adds to the residual.
  private func attention(
    _ pass: LayerPass, _ index: Int, _ step: StepViews, _ cache: any KVCache, isFirst: Bool
  ) throws(KernelError) {
    // The previous layer's output joins the residual here, in the norm that reads the sum anyway.
    backend.expect(readers: pass.readers.attentionNorm)
    try backend.norm(
      pass.attentionNorm, residual: step.residual, adding: isFirst ? nil : step.projected, into: step.hidden)
    try observer?(.layer(index, .residual), step.residual)
    try observer?(.layer(index, .attentionNorm), step.hidden)

    let step = step.narrowed(to: configuration, layer: index)
    let place = step.groups > 1 ? cacheGroups.places[index] : CacheGroups.Place(group: 0, layer: index)
    try attention(pass, step.hidden, step, cache, place: place, index: index)
    try backend.linear(step.attention, pass.weights.attentionOutput, accumulate: false, into: step.projected)
    try adapt(.attentionOutput, index, step.attention, into: [step.projected], step.adapterRuns)
    try observer?(.layer(index, .attentionOutput), step.projected)
  }

  /// From what the attention's norm gave to `step.attention`. `place` is the layer's in `cache`.
  func attention(
    _ pass: LayerPass, _ hidden: TensorView, _ step: StepViews, _ cache: any KVCache,
    place: CacheGroups.Place, index: Int
  ) throws(KernelError) {
    switch pass.weights.attention {
    case .separate(let query, let key, let value):
      try backend.linear(hidden, query, accumulate: false, into: step.query)
      try backend.linear(hidden, key, accumulate: false, into: step.key)
      try backend.linear(hidden, value, accumulate: false, into: step.value)
      try adapt(.attention, index, hidden, into: [step.query, step.key, step.value], step.adapterRuns)
    case .fused(let weight):
      try backend.linear(hidden, weight, accumulate: false, into: step.queryKeyValue)
      try adapt(.attention, index, hidden, into: [step.queryKeyValue], step.adapterRuns)
    }
    if var rope {
      if let table = step.ropeTable { rope.table = table }
      try observer?(.layer(index, .projectedQuery), step.query)
      try observer?(.layer(index, .projectedKey), step.key)
      if let sinkQuery = step.sinkQuery, let rows = step.sinkRopeRows {
        try backend.gatherRows(step.query, rows: step.ropeRows, into: sinkQuery)
        try backend.rope(rope, positions: rows, query: sinkQuery, key: sinkQuery.columns(0..<0))
      }
      try backend.rope(rope, positions: step.ropeRows, query: step.query, key: step.key)
    }
    try observer?(.layer(index, .query), step.query)
    try observer?(.layer(index, .key), step.key)
    try observer?(.layer(index, .value), step.value)

    try backend.appendKV(
      key: step.key, value: step.value, slots: step.slots(of: place.group), cache: cache, layer: place.layer)
    try backend.attention(
      pass.attention, query: step.query, cache: cache, layer: place.layer, batch: step.batch(of: place.group),
      into: step.attention)
    try observer?(.layer(index, .attention), step.attention)
  }

  /// The feed-forward half: afterwards `projected` holds what is still to be added to the residual.
  private func feedForward(_ pass: LayerPass, _ index: Int, _ step: StepViews) throws(KernelError) {
    let isParallel = configuration.decoder.block == .parallel
    backend.expect(readers: pass.readers.feedForwardNorm)
    try backend.norm(
      pass.feedForwardNorm, residual: step.residual, adding: isParallel ? nil : step.projected,
      into: step.hidden)
    if !isParallel { try observer?(.layer(index, .middleResidual), step.residual) }
    try observer?(.layer(index, .feedForwardNorm), step.hidden)

    let inner = step.feedForward.narrowed(to: configuration.intermediateSize(of: index))
    try activate(pass, step.hidden, inner, index: index, step.adapterRuns)
    try observer?(.layer(index, .activated), inner.activated)
    try backend.linear(inner.activated, pass.weights.down, accumulate: isParallel, into: step.projected)
    try adapt(.down, index, inner.activated, into: [step.projected], step.adapterRuns)
    try observer?(.layer(index, .feedForwardOutput), step.projected)
  }

  /// From what the feed-forward's norm gave to what the down projection reads.
  func activate(
    _ pass: LayerPass, _ hidden: TensorView, _ inner: FeedForwardViews, index: Int, _ runs: [AdapterRun] = []
  ) throws(KernelError) {
    let activation = configuration.decoder.activation
    let (gate, up, activated) = (inner.gate, inner.up, inner.activated)
    try backend.linear(hidden, pass.weights.up, accumulate: false, into: up)
    if let weight = pass.weights.gate {
      try backend.linear(hidden, weight, accumulate: false, into: gate)
      try adapt(.feedForward, index, hidden, into: [up, gate], runs)
      try observer?(.layer(index, .up), up)
      try observer?(.layer(index, .gate), gate)
      backend.expect(readers: pass.readers.activation)
      try backend.activation(activation, gate: gate, up: up, into: activated)
    } else {
      try adapt(.feedForward, index, hidden, into: [up], runs)
      try observer?(.layer(index, .up), up)
      backend.expect(readers: pass.readers.activation)
      try backend.activation(activation, gate: up, up: nil, into: activated)
    }
  }
}
