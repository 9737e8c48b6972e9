package import CPUBackend
package import Checkpoints
package import Compute
package import Models
internal import Numerics
internal import Scheduling

/// Runs calibration samples through a model one layer at a time and measures what its linear layers read.
///
/// All samples' residual stream is held; everything else is one step's workspace. A layer's halves are run when they
/// are asked for, in this order:
///
///     for each layer   statistics(.attentionNorm) … statistics(.attention) … advanceAttention
///                      statistics(.feedForwardNorm) … statistics(.activated) … advanceFeedForward
///
/// Between two calls weights may be replaced in `graph`; what comes after sees the new ones. `statistics` may be
/// called for points of the second half before the first has advanced: then it runs ahead on a copy.
package final class Calibrator {
  package let graph: ModelGraph
  private let backend: CPUBackend
  private let cache: any KVCache
  private let steps: [Step]
  /// `[tokens, H]`, all samples one after the other.
  private let residual: Storage
  private let pending: Storage?
  /// One step's rows, for running ahead.
  private let scratch: Storage
  /// What one half of a layer gave its last projection, `[tokens, inputs]`, until that has been computed.
  private var kept: Kept?
  private var attentionIsDone = false
  private let columns: Int
  /// Asked before each step of samples; where it says so, the walk ends with `Stopped`.
  package var shouldStop: () -> Bool = { false }

  package struct Stopped: Error, Equatable { package init() {} }

  private struct Kept {
    let point: TracePoint.LayerPoint
    let layer: Int
    let inputs: Int
    let storage: Storage
  }

  /// Samples that go through together.
  private struct Step {
    let plan: StepPlan
    let first: Int
    let count: Int
  }

  /// Rows of one step: enough to keep matrix products busy.
  private static let stepTokens = 512

  /// More than this is computed again instead of being kept, unless it is no larger than the residual stream.
  private static let keptBytes = 1 << 28

  package init(
    checkpoint: Checkpoint, samples: [[Int32]], backend: CPUBackend
  ) throws(ModelError) {
    let longest = samples.map(\.count).max() ?? 1
    let stepTokens = Swift.max(longest, Self.stepTokens)
    let perStep = Swift.max(1, stepTokens / Swift.max(longest, 1))
    graph = try ModelGraph(
      checkpoint: checkpoint, backend: backend,
      limits: ModelLimits(
        maxBatchTokens: stepTokens, maxSequences: perStep, maxModelLength: longest, maxLogitRows: 1))
    self.backend = backend
    columns = graph.configuration.hiddenSize
    let blocks = (longest + ModelLimits.blockSize - 1) / ModelLimits.blockSize
    var steps: [Step] = []
    var start = 0
    for index in stride(from: 0, to: samples.count, by: perStep) {
      let group = samples[index..<Swift.min(index + perStep, samples.count)]
      let count = group.reduce(0) { $0 + $1.count }
      steps.append(
        Step(plan: Self.plan(group, blocksPerSample: blocks), first: start, count: count))
      start += count
    }
    self.steps = steps
    do throws(KernelError) {
      cache = try graph.makeStageCache(blockCount: blocks * perStep)
      residual = try backend.allocate(byteCount: start * columns * 4)
      pending =
        graph.configuration.decoder.block == .parallel
        ? try backend.allocate(byteCount: start * columns * 4) : nil
      scratch = try backend.allocate(byteCount: stepTokens * columns * 4)
      for step in steps { try graph.embed(step.plan, cache: cache, into: rows(residual, step)) }
    } catch { throw .kernel(error) }
  }

  package var tokens: Int { steps.reduce(0) { $0 + $1.count } }

  // MARK: Measuring

  /// Statistics of the inputs read at `point` of a layer, with the weights as they are now.
  ///
  /// - Parameter keeps: `advanceAttention` and `advanceFeedForward` are to go on from what is measured here at `.attention`
  ///   and `.activated`: nothing before the half layer's last projection changes until then.
  package func statistics(
    of point: TracePoint.LayerPoint, layer: Int, gram: Bool, keeps: Bool = false
  ) throws -> ActivationStatistics {
    var statistics = ActivationStatistics(inputs: inputs(of: point, layer), gram: gram)
    kept = nil
    let byteCount = tokens * statistics.inputs * 4
    let isLast = point == .attention || (point == .activated && (attentionIsDone || pending != nil))
    if keeps, isLast, statistics.inputs <= columns || byteCount <= Self.keptBytes {
      kept = Kept(
        point: point, layer: layer, inputs: statistics.inputs,
        storage: try backend.allocate(byteCount: byteCount))
    }
    for step in steps {
      if shouldStop() { throw Stopped() }
      let found = try input(of: point, layer, step)
      try statistics.add(found, on: backend)
      guard let rows = keptRows(of: point, layer, step) else { continue }
      precondition(found.rowStride == found.columns, "written without gaps")
      try unsafe backend.upload(
        UnsafeRawBufferPointer(start: found.address, count: found.shape.elementCount * 4), to: rows)
    }
    return statistics
  }

  /// nil where nothing was kept.
  private func keptRows(
    of point: TracePoint.LayerPoint, _ layer: Int, _ step: Step
  ) -> TensorView? {
    guard let kept, kept.point == point, kept.layer == layer else { return nil }
    return view(kept.storage, step.first, step.count, columns: kept.inputs)
  }

  /// Statistics of what the output projection reads, once all layers have advanced.
  package func finalStatistics(gram: Bool) throws -> ActivationStatistics {
    var statistics = ActivationStatistics(inputs: columns, gram: gram)
    for step in steps {
      if shouldStop() { throw Stopped() }
      try statistics.add(try graph.outputInput(rows(residual, step)), on: backend)
    }
    return statistics
  }

  private func inputs(of point: TracePoint.LayerPoint, _ layer: Int) -> Int {
    switch point {
    case .attention: graph.configuration.queryWidth(of: layer)
    case .activated: graph.configuration.intermediateSize(of: layer)
    default: columns
    }
  }

  private func input(
    of point: TracePoint.LayerPoint, _ layer: Int, _ step: Step
  ) throws -> TensorView {
    let stream = rows(residual, step)
    switch point {
    case .attentionNorm: return try graph.attentionInput(layer, stream)
    case .attention:
      return try graph.attention(
        layer, try graph.attentionInput(layer, stream), step.plan, cache: cache)
    default: break
    }
    let hidden: TensorView
    if attentionIsDone || pending != nil {
      hidden = try graph.feedForwardInput(layer, stream)
    } else {
      // The first half has not been added yet: run it on a copy.
      let copy = view(scratch, 0, step.count, columns: columns)
      try unsafe backend.upload(
        UnsafeRawBufferPointer(start: stream.address, count: step.count * columns * 4), to: copy)
      try addAttention(layer, step, to: copy, pending: nil)
      hidden = try graph.feedForwardInput(layer, copy)
    }
    return point == .activated ? try graph.activated(layer, hidden) : hidden
  }

  private func addAttention(
    _ layer: Int, _ step: Step, to stream: TensorView, pending: TensorView?
  ) throws(KernelError) {
    let attention =
      if let kept = keptRows(of: .attention, layer, step) {
        kept
      } else {
        try graph.attention(
          layer, try graph.attentionInput(layer, stream), step.plan, cache: cache)
      }
    try graph.addAttention(layer, attention, to: stream, pending: pending)
  }

  // MARK: Going on

  /// Adds the attention of a layer to the residual stream.
  package func advanceAttention(_ layer: Int) throws {
    for step in steps {
      if shouldStop() { throw Stopped() }
      try addAttention(
        layer, step, to: rows(residual, step), pending: pending.map { rows($0, step) })
    }
    kept = nil
    attentionIsDone = true
  }

  /// Adds the feed-forward of a layer; the next layer follows.
  package func advanceFeedForward(_ layer: Int) throws {
    for step in steps {
      if shouldStop() { throw Stopped() }
      let stream = rows(residual, step)
      let activated =
        if let kept = keptRows(of: .activated, layer, step) {
          kept
        } else {
          try graph.activated(layer, try graph.feedForwardInput(layer, stream))
        }
      try graph.addFeedForward(layer, activated, to: stream, pending: pending.map { rows($0, step) })
    }
    kept = nil
    attentionIsDone = false
  }

  // MARK: Resuming

  /// The residual stream as it is now, `[tokens, H]`.
  package var stream: Tensor {
    Tensor(storage: residual, shape: Shape(Swift.max(tokens, 1), columns), dataType: .float32)
  }

  /// Goes on from a stream that an earlier run saved.
  ///
  /// - Returns: false for one of another size.
  package func restore(_ saved: RawTensor) -> Bool {
    guard saved.dataType == .float32, saved.shape == [tokens, columns] else { return false }
    unsafe saved.withBytes { bytes in
      if let source = bytes.baseAddress {
        unsafe residual.address.copyMemory(from: source, byteCount: bytes.count)
      }
    }
    return true
  }

  // MARK: Memory

  private func rows(_ storage: Storage, _ step: Step) -> TensorView {
    view(storage, step.first, step.count, columns: columns)
  }

  private func view(_ storage: Storage, _ first: Int, _ count: Int, columns: Int) -> TensorView {
    unsafe TensorView(
      address: storage.address + first * columns * 4, shape: Shape(count, columns), dataType: .float32)
  }

  private static func plan(_ samples: ArraySlice<[Int32]>, blocksPerSample: Int) -> StepPlan {
    var plan = StepPlan()
    plan.blockTableStride = blocksPerSample
    plan.queryStarts.append(0)
    for (index, tokens) in samples.enumerated() {
      let firstBlock = index * blocksPerSample
      for (position, token) in tokens.enumerated() {
        plan.tokens.append(token)
        plan.positions.append(Int32(position))
        plan.slots.append(Int32(firstBlock * ModelLimits.blockSize + position))
      }
      plan.queryStarts.append(Int32(plan.tokens.count))
      plan.contextLengths.append(Int32(tokens.count))
      for block in 0..<blocksPerSample { plan.blockTables.append(Int32(firstBlock + block)) }
    }
    return plan
  }
}
