/// Always inlined: a call that borrows the scheduler in the middle of a mutation copies its 264 bytes, once a sequence.
extension Scheduler {
  /// Prompt positions `start ..< promptCount - 1` whose logits a sequence still wants; the last position's
  /// row is the one that is sampled from.
  @inline(__always)
  private func firstWantedRow(of slot: Int) -> Int {
    let last = sequences[slot].promptCount - 1
    if !sequences[slot].wantsPromptLogits { return last }
    return min(max(sequences[slot].computed, sequences[slot].promptRowsDone), last)
  }

  /// The token positions of a step's piece whose logits are wanted: prompt rows, then the sampled one. Drafts
  /// count among `scheduled` and not among the positions.
  @inline(__always)
  func logitPositions(of slot: Int, scheduled: Int) -> (prompt: Range<Int>, samples: Bool) {
    let end = sequences[slot].computed + scheduled - sequences[slot].scheduledDrafts
    let first = firstWantedRow(of: slot)
    let last = max(first, min(end, sequences[slot].promptCount - 1))
    let samples = scheduled > 0 && end == sequences[slot].tokens.count && sequences[slot].samples
    return (first..<last, samples)
  }

  @inline(__always)
  func logitRowCount(of slot: Int, scheduled: Int) -> Int {
    let positions = logitPositions(of: slot, scheduled: scheduled)
    return positions.prompt.count + (positions.samples ? 1 + sequences[slot].scheduledDrafts : 0)
  }

  /// How many tokens of a sequence the step takes, by budget, threshold and rows; memory is another question.
  func pieceLength(of slot: Int, _ budget: StepBudget) -> Int {
    var count = min(sequences[slot].remaining, budget.tokens)
    if configuration.longPrefillTokenThreshold > 0 {
      count = min(count, configuration.longPrefillTokenThreshold)
    }
    let positions = logitPositions(of: slot, scheduled: count)
    if positions.prompt.count > budget.logitRows {
      let lastRow = positions.prompt.lowerBound + budget.logitRows
      count = lastRow - sequences[slot].computed
    }
    // The rows suffice for the prompt but not for the token to be sampled: stop in front of it.
    if logitRowCount(of: slot, scheduled: count) > budget.logitRows { count -= 1 }
    return count
  }
}
