internal import Compute
internal import Scheduling

extension ModelGraph {
  /// Checks that a plan fits the limits and the cache, so that no kernel reads or writes outside its memory; and lays out
  /// what the step sends.
  ///
  /// - Complexity: O(tokens + sequences + block table entries) comparisons, nothing beside a step's arithmetic.
  func admit(_ plan: borrowing StepPlan, _ cache: any KVCache) throws(KernelError) -> AttentionBatch {
    guard plan.groupCount == 1 || plan.groupCount == cacheGroups.groups.count else {
      throw .unsupported(
        operation: "forward",
        reason:
          "the plan has \(plan.groupCount) block tables a sequence, the model \(cacheGroups.groups.count)")
    }
    return try admit(
      plan, cache,
      geometry: cacheGeometry(
        blockCount: cache.geometry.blockCount, layers: plan.groupCount > 1 ? cacheGroups.layers : nil))
  }

  /// The same for a cache that must have the geometry `expected`.
  func admit(
    _ plan: borrowing StepPlan, _ cache: any KVCache, geometry expected: KVCacheGeometry
  ) throws(KernelError) -> AttentionBatch {
    let geometry = cache.geometry
    guard geometry == expected else {
      throw .unsupported(operation: "forward", reason: "the key/value cache was made for another model")
    }
    let (tokens, sequences, stride) = (plan.tokens.count, plan.contextLengths.count, plan.blockTableStride)
    try check("tokens", tokens, tokens <= limits.maxBatchTokens, "at most \(limits.maxBatchTokens)")
    try check("contextLengths", sequences, sequences <= limits.maxSequences, "at most \(limits.maxSequences)")
    try check("positions", plan.positions.count, plan.positions.count == tokens, "[\(tokens)], one a token")
    let groups = plan.groupCount
    try check(
      "slots", plan.slots.count, plan.slots.count == tokens * groups, "[\(tokens * groups)], one a token")
    let rows = workspace.step.capacity.logitRows
    try check("logitRows", plan.logitRows.count, plan.logitRows.count <= rows, "at most \(rows)")
    let starts = plan.queryStarts.count
    try check(
      "queryStarts", starts, starts == sequences + 1 || (sequences == 0 && starts == 0), "[\(sequences + 1)]")
    let (entries, overflow) = (sequences * groups).multipliedReportingOverflow(by: stride)
    try check(
      "blockTables", plan.blockTables.count,
      !overflow && plan.blockTables.count == entries && entries <= workspace.step.capacity.tables,
      "[\(sequences * groups), \(stride)], at most \(workspace.step.capacity.tables) entries")

    try check("tokens", plan.tokens, 0..<configuration.vocabularySize)
    try check(
      "tokenSources", plan.tokenSources.count, plan.tokenSources.count <= sequences, "at most \(sequences)")
    try check("tokenSources", plan.tokenSources, -1..<(sampledTokens?.tokens.rows ?? 0))
    try check("positions", plan.positions, 0..<limits.maxModelLength)
    try check("slots", plan.slots, -1..<geometry.blockCount * geometry.blockSize)
    try check("blockTables", plan.blockTables, 0..<geometry.blockCount)
    try check("logitRows", plan.logitRows, 0..<tokens)
    for run in plan.adapterRuns {
      guard run.rows.lowerBound >= 0, run.rows.upperBound <= tokens, hasAdapter(run.adapter) else {
        throw .unsupported(
          operation: "forward", reason: "rows \(run.rows) of \(tokens) ask for adapter \(run.adapter)")
      }
    }
    workspace.step.arrange(StepInputs.Layout(plan))
    return try batch(plan)
  }

  private func batch(_ plan: borrowing StepPlan) throws(KernelError) -> AttentionBatch {
    let sequences = plan.contextLengths.count
    try check(
      "decodeCount", plan.decodeCount, (0...sequences).contains(plan.decodeCount), "at most \(sequences)")
    var decodes = AttentionBatch.Decodes()
    let reachable = Swift.min(plan.blockTableStride * ModelLimits.blockSize, limits.maxModelLength)
    var maxQueryLength = 0
    var maxContextLength = 0
    var end = 0
    for sequence in 0..<sequences {
      let next = Int(plan.queryStarts[sequence + 1])
      let context = Int(plan.contextLengths[sequence])
      let queries = next - end
      guard Int(plan.queryStarts[sequence]) == end, queries >= 0, context >= queries, context <= reachable
      else {
        throw .unsupported(
          operation: "forward",
          reason: "sequence \(sequence) of the plan has \(queries) new tokens and a context of \(context); "
            + "its block table and the model length reach \(reachable)")
      }
      maxQueryLength = Swift.max(maxQueryLength, queries)
      maxContextLength = Swift.max(maxContextLength, context)
      if sequence < plan.decodeCount {
        decodes.sequences += 1
        decodes.rows += queries
        decodes.maxQueryLength = maxQueryLength
      }
      end = next
    }
    try check("queryStarts", end, end == plan.tokens.count, "up to the \(plan.tokens.count) tokens")
    let inputs = workspace.step
    return AttentionBatch(
      queryStarts: inputs.view(inputs.layout.queryStarts, sequences + 1),
      contextLengths: inputs.view(inputs.layout.contextLengths, sequences),
      blockTables: inputs.blockTables(
        sequences: sequences, stride: plan.groupCount * plan.blockTableStride),
      sequenceCount: sequences, maxQueryLength: maxQueryLength, maxContextLength: maxContextLength,
      decodes: decodes)
  }

  private func check(
    _ operand: String, _ found: Int, _ holds: Bool, _ expected: @autoclosure () -> String
  ) throws(KernelError) {
    guard !holds else { return }
    throw .shapeMismatch(operation: "forward", operand: operand, found: [found], expected: expected())
  }

  private func check(_ operand: String, _ values: [Int32], _ range: Range<Int>) throws(KernelError) {
    for index in values.indices where !range.contains(Int(values[index])) {
      throw .indexOutOfRange(
        operation: "forward", operand: operand, index: index, value: Int(values[index]),
        limit: range.upperBound)
    }
  }
}
