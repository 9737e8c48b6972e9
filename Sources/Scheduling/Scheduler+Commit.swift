extension Scheduler {
  /// Takes the results of the step under way; where one was counted in advance, of that one, which is the older.
  ///
  /// - Parameters:
  ///   - plan: what `next` gave.
  ///   - sampled: one element an entry; of entries that do not sample only `isFailure` counts.
  ///   - outcomes: overwritten with one element an entry.
  package mutating func commit(
    _ plan: borrowing StepPlan, sampled: [SampledToken], outcomes: inout [CommitOutcome]
  ) {
    precondition(stepInFlight || hasPresumedStep, "no step is under way")
    precondition(sampled.count == plan.entries.count, "one sampled token an entry")
    outcomes.removeAll(keepingCapacity: true)
    if hasPresumedStep {
      hasPresumedStep = false
      for index in 0..<plan.entries.count { outcomes.append(confirm(plan.entries[index], sampled[index])) }
      return
    }
    stepInFlight = false
    for index in 0..<plan.entries.count {
      outcomes.append(commit(plan.entries[index], sampled[index], plan))
    }
  }

  /// Gives the step under way up, because it failed: its sequences end as `failed`, and the blocks it
  /// should have filled leave the prefix cache. Sequences it does not carry are not touched.
  ///
  /// - Parameter outcomes: overwritten with one element an entry, `finished(.failed)` or `discarded`.
  package mutating func abandon(_ plan: borrowing StepPlan, outcomes: inout [CommitOutcome]) {
    precondition(stepInFlight && !hasPresumedStep, "no step is under way, or one was counted in advance")
    stepInFlight = false
    outcomes.removeAll(keepingCapacity: true)
    for index in 0..<plan.entries.count where isLive(plan.entries[index].id) {
      let slot = plan.entries[index].id.slot
      let first = sequences[slot].computed / KVBlockPool.blockSize
      withdraw(first..<sequences[slot].placeCount, of: slot)
    }
    for index in 0..<plan.entries.count {
      if isOverrun(plan.entries[index]) {
        outcomes.append(.discarded)
        continue
      }
      let slot = plan.entries[index].id.slot
      let wasCancelled = sequences[slot].isCancelled
      end(slot, wasCancelled ? .cancelled : .failed)
      outcomes.append(wasCancelled ? .discarded : .finished(.failed))
    }
  }

  /// Takes the names of blocks away that may hold nonsense.
  mutating func withdraw(_ places: Range<Int>, of slot: Int) {
    for group in sequences[slot].tables.indices {
      for place in places where sequences[slot].tables[group][place] >= 0 {
        pool.withdraw(sequences[slot].tables[group][place])
      }
    }
  }

  private mutating func commit(
    _ entry: StepPlan.Entry, _ sampled: SampledToken, _ plan: borrowing StepPlan
  ) -> CommitOutcome {
    if isOverrun(entry) { return .discarded }
    let slot = entry.id.slot
    precondition(sequences[slot].scheduled == entry.tokenCount, "the plan is not the one under way")
    if sequences[slot].isCancelled {
      end(slot, .cancelled)
      return .discarded
    }
    if sampled.isFailure {
      withdraw(0..<sequences[slot].placeCount, of: slot)
      end(slot, .failed)
      return .finished(.failed)
    }
    precondition(
      (0...entry.draftCount).contains(sampled.accepted),
      "\(sampled.accepted) of \(entry.draftCount) drafts accepted")
    sequences[slot].advance(by: entry.tokenCount - entry.draftCount + sampled.accepted)
    if !entry.samples {
      releaseUnseen(slot)
      if sequences[slot].remaining > 0 { return .computed }
      end(slot, .length)
      return .finished(.length)
    }
    if entry.draftCount > 0 {
      let drafts = entry.tokenStart + entry.tokenCount - entry.draftCount
      for index in drafts..<drafts + sampled.accepted {
        sequences[slot].tokens.append(plan.tokens[index])
      }
      settleDrafts(of: slot)
    }
    releaseUnseen(slot)
    sequences[slot].tokens.append(sampled.token)
    if sampled.ends {
      end(slot, .stopped)
      return .finished(.stopped)
    }
    if sequences[slot].tokens.count == sequences[slot].limit {
      end(slot, .length)
      return .finished(.length)
    }
    return .sampled
  }
}
