internal import Compute
internal import Scheduling

/// Decode steps as recorded work, one recording a shape: a step of a large model is hundreds of launches, and replaying
/// them costs the host one call.
///
/// A step of n sequences runs in the recording of the next larger shape. The rows too many have no key, write no slot, and
/// nobody reads what they give.
///
/// ```
/// sequences  1 2 4 8 16 24 32 …          up to the limit
/// tables     as wide as the plan's, which grow in steps of a quarter
/// ```
struct DecodeRecordings {
  struct Shape: Hashable {
    /// Of the recording, not of the step.
    var sequences: Int
    var groups: Int
    var tableStride: Int
    var cache: ObjectIdentifier
  }

  private enum Entry {
    /// Was computed once without a recording: kernels are loaded then, which a recording could not do.
    case seen
    /// The cache is kept, so that no other can have its identity.
    case recorded(any RecordedWork, any KVCache)
  }

  private var entries: [Shape: Entry] = [:]
  /// More shapes than these are computed without a recording.
  static let capacity = 128

  enum Action {
    case compute
    case record
    case replay(any RecordedWork)
  }

  /// What to do with a step of this shape.
  mutating func next(_ shape: Shape) -> Action {
    switch entries[shape] {
    case .recorded(let work, _): return .replay(work)
    case .seen: return .record
    case nil:
      if entries.count < Self.capacity { entries[shape] = .seen }
      return .compute
    }
  }

  mutating func keep(_ work: any RecordedWork, _ shape: Shape, _ cache: any KVCache) {
    entries[shape] = .recorded(work, cache)
  }

  mutating func removeAll() { entries.removeAll() }

  var recordedCount: Int {
    entries.values.count { if case .recorded = $0 { true } else { false } }
  }

  /// Rows of the recording that a step of `count` sequences runs in.
  static func rows(for count: Int, limit: Int) -> Int {
    var rows = 1
    while rows < count { rows = rows < 16 ? rows * 2 : rows + 8 }
    return Swift.min(rows, limit)
  }
}

extension ModelGraph {
  /// Shapes of decode steps that are replayed from now on.
  package var recordedShapes: Int { recordings.recordedCount }

  /// The shape in which a step can be recorded: one token behind its prompt and one row of logits for each sequence, in
  /// order.
  func recordableShape(_ plan: borrowing StepPlan, _ cache: any KVCache) -> DecodeRecordings.Shape? {
    let count = plan.contextLengths.count
    guard recorder != nil, observer == nil, workspace.streaming == nil, plan.adapterRuns.isEmpty, count > 0,
      plan.tokens.count == count, plan.decodeCount == count, plan.logitRows.count == count
    else { return nil }
    for index in 0..<count where plan.logitRows[index] != index || plan.queryStarts[index] != index {
      return nil
    }
    let limit = Swift.min(limits.maxSequences, limits.maxBatchTokens, maxLogitRows)
    let rows = DecodeRecordings.rows(for: count, limit: limit)
    guard count <= limit,
      rows * plan.groupCount * plan.blockTableStride <= workspace.step.capacity.tables
    else { return nil }
    return DecodeRecordings.Shape(
      sequences: rows, groups: plan.groupCount, tableStride: plan.blockTableStride,
      cache: ObjectIdentifier(cache))
  }

  /// One step in a recording's shape; the logits of its first rows are the step's.
  func forward(
    _ plan: StepPlan, as shape: DecodeRecordings.Shape, cache: any KVCache, sampling: SamplingBatch?
  ) throws(KernelError) -> TensorView {
    guard let recorder else { preconditionFailure("a shape without a recorder") }
    stepTokens = 0
    stepLogitRows = 0
    _ = try admit(plan, cache)
    workspace.step.arrange(
      StepInputs.Layout(
        tokens: shape.sequences, sequences: shape.sequences, logitRows: shape.sequences, groups: shape.groups)
    )
    try send(plan, decodePaddedTo: shape.sequences, sampling)
    let inputs = workspace.step
    let reachable = Swift.min(shape.tableStride * ModelLimits.blockSize, limits.maxModelLength)
    let batch = AttentionBatch(
      queryStarts: inputs.view(inputs.layout.queryStarts, shape.sequences + 1),
      contextLengths: inputs.view(inputs.layout.contextLengths, shape.sequences),
      blockTables: inputs.blockTables(
        sequences: shape.sequences, stride: shape.groups * shape.tableStride),
      sequenceCount: shape.sequences, maxQueryLength: 1, maxContextLength: reachable,
      decodes: .init(rows: repeatElement(1, count: shape.sequences)))
    let step = StepViews(workspace, tokens: shape.sequences, groups: shape.groups, batch: batch)
    let enqueue = { () throws(KernelError) in
      try self.feedSampledTokens(shape.sequences)
      try self.layers(step, cache)
      _ = try self.project(0..<shape.sequences, tokens: shape.sequences)
    }
    switch recordings.next(shape) {
    case .compute: try enqueue()
    case .record:
      let work = try recorder.record(enqueue)
      recordings.keep(work, shape, cache)
      try recorder.replay(work)
    case .replay(let work): try recorder.replay(work)
    }
    stepTokens = plan.tokens.count
    stepLogitRows = plan.logitRows.count
    return workspace.logits.prefix(rows: plan.logitRows.count)
  }
}
