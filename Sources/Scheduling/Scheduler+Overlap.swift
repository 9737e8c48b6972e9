/// Two steps at once: the next one is planned, and given to the device, before the tokens of the step before are known.
///
/// ```
/// next(A) ─ launch A ─ presume(A) ─ next(B) ─ launch B ─ results of A ─ commit(A) ─ presume(B) ─ next(C) ─ …
///                                   B reads A's tokens
///                                   on the device
/// ```
/// `presume` counts a step as it will be if nothing ends: its tokens are in KV memory, and each sequence that it samples
/// has one token more. That token has a place in `Sequence.tokens` and no value; the plan says where the device finds
/// it (`StepPlan.tokenSources`). `commit` then writes the values down, and ends what turned out to have ended.
///
/// A sequence that ended has its next step computed for nothing: `commit` of that step says `discarded`. Its blocks
/// are free at once all the same. Who gets them writes to them in a later step, and the device computes steps in order.
///
/// **No block with an unconfirmed token is published**: a name is made of tokens, so `known` leaves the last one out until
/// it has its value. And nobody is admitted to a prefix that an overrun writes: it writes behind the sequence's tokens.
///
/// A preempted sequence may be among the waiting ones with an unconfirmed token. Nobody is admitted by a `next` that
/// preempted, and the one after it comes after the `commit` which gives the token its value.
extension Scheduler {
  /// Counts the step under way in advance, so that `next` may come before its `commit`.
  ///
  /// - Precondition: it carries no drafts, and no other step is counted in advance.
  package mutating func presume(_ plan: borrowing StepPlan) {
    precondition(
      stepInFlight && !hasPresumedStep, "no step is under way, or one is counted in advance already")
    stepInFlight = false
    hasPresumedStep = true
    for index in 0..<plan.entries.count { presume(plan.entries[index]) }
  }

  private mutating func presume(_ entry: StepPlan.Entry) {
    // It ended with the step before; `commit` will find that again.
    if !isLive(entry.id) { return }
    let slot = entry.id.slot
    precondition(sequences[slot].scheduled == entry.tokenCount, "the plan is not the one under way")
    precondition(entry.draftCount == 0, "which drafts are right cannot be counted in advance")
    sequences[slot].isPresumed = true
    sequences[slot].endsPresumed = false
    sequences[slot].computed += entry.tokenCount
    sequences[slot].scheduled = 0
    if sequences[slot].wantsPromptRows {
      let done = min(sequences[slot].computed, sequences[slot].promptCount - 1)
      sequences[slot].promptRowsDone = max(sequences[slot].promptRowsDone, done)
    }
    releaseUnseen(slot)
    if !entry.samples {
      sequences[slot].endsPresumed = sequences[slot].remaining == 0
    } else if sequences[slot].tokens.count + 1 == sequences[slot].limit || sequences[slot].isCancelled {
      sequences[slot].endsPresumed = true
    } else {
      sequences[slot].tokens.append(0)
      sequences[slot].isUnconfirmed = true
      sequences[slot].sampledRow = Int32(entry.logitRange.upperBound - 1)
    }
  }

  /// What became of an entry of the step that was counted in advance.
  mutating func confirm(_ entry: StepPlan.Entry, _ sampled: SampledToken) -> CommitOutcome {
    if isOverrun(entry) { return .discarded }
    let slot = entry.id.slot
    precondition(sequences[slot].isPresumed, "the plan is not the one that was counted in advance")
    let isScheduled = sequences[slot].scheduled > 0
    sequences[slot].isPresumed = false
    let outcome = confirm(slot, entry, sampled)
    switch outcome {
    case .discarded, .finished: if isScheduled { overruns += 1 }
    case .computed, .sampled: break
    }
    return outcome
  }

  private mutating func confirm(
    _ slot: Int, _ entry: StepPlan.Entry, _ sampled: SampledToken
  ) -> CommitOutcome {
    if sequences[slot].isCancelled {
      end(slot, .cancelled)
      return .discarded
    }
    if sampled.isFailure {
      withdraw(0..<sequences[slot].placeCount, of: slot)
      end(slot, .failed)
      return .finished(.failed)
    }
    if !entry.samples {
      if !sequences[slot].endsPresumed { return .computed }
      end(slot, .length)
      return .finished(.length)
    }
    precondition(sampled.accepted == 0, "a step without drafts accepts none")
    if sequences[slot].isUnconfirmed {
      sequences[slot].tokens[sequences[slot].tokens.count - 1] = sampled.token
      sequences[slot].isUnconfirmed = false
    } else {
      sequences[slot].tokens.append(sampled.token)
    }
    if sampled.ends {
      end(slot, .stopped)
      return .finished(.stopped)
    }
    if sequences[slot].endsPresumed {
      end(slot, .length)
      return .finished(.length)
    }
    // The step in flight may fill the block that this token is in.
    if sequences[slot].state == .running { publish(slot) }
    return .sampled
  }

  /// An entry of a sequence that ended while the step was in flight.
  mutating func isOverrun(_ entry: StepPlan.Entry) -> Bool {
    if isLive(entry.id) { return false }
    precondition(overruns > 0, "a plan carries a sequence that is over")
    overruns -= 1
    return true
  }
}
