internal import Compute
internal import Scheduling

/// A step from its planning to its results. The engine has two, so that one can be planned and launched while the other
/// is computed.
final class StepWork {
  var plan = StepPlan()
  /// The rows that the device samples; empty where the host does.
  var batch: SamplingBatch
  /// Rows whose logits the host has to look at.
  var hostRows: [Int32] = []
  /// The next step may be launched before this one's results are known.
  var mayRunAhead = false
  /// When planning began, and when it ended.
  var start: UInt64 = 0
  var planned: UInt64 = 0

  init(_ limits: EngineLimits, _ capacity: SamplingCapacity?) {
    batch = SamplingBatch(
      capacity
        ?? SamplingCapacity(
          vocabularySize: limits.vocabularySize, rows: 0, edits: 0, seenTokens: 0, masks: 0, alternatives: 0))
    hostRows.reserveCapacity(limits.maxLogitRows)
    plan.reserve(
      maxTokens: limits.maxBatchTokens, maxSequences: limits.maxSequences,
      maxLogitRows: limits.maxBatchTokens, maxModelLength: limits.maxModelLength,
      groups: limits.groups.count)
  }
}

/// What choosing a step's tokens reads for each row, taken out of its `StepWork` once: each look into the object from
/// outside costs an exclusivity check, and asking the batch a copy of it.
struct StepRows {
  let tokens: [Int32]
  let positions: [Int32]
  /// In the device's results.
  let place: SamplingBatch.Places

  init(_ work: StepWork) {
    tokens = work.plan.tokens
    positions = work.plan.positions
    place = work.batch.places
  }
}
