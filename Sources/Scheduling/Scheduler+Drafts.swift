/// Speculative decoding, as far as memory and budget go.
///
/// A draft is a guess of a token to come. The step that computes a sequence's last token also computes its
/// drafts, and the logits of all of them, so that the model's own choice at each place can be compared with the
/// guess. What was guessed right is kept by `commit`; the rest is forgotten: its slots are overwritten later and
/// the blocks only it needed go back to the pool.
///
/// ```
/// in the step        t₉ | d₁ d₂ d₃       logits of all four, 4 rows
/// the model chooses  d₁   d₂ x   ·       accepted 2, token x
/// afterwards         t₉ d₁ d₂ | x        the first three are in KV memory
/// ```
/// Drafts are a luxury: they take tokens, rows and blocks that nobody else needs, and never preempt anybody.
/// No block with an unverified token is published.
extension Scheduler {
  /// How many drafts of a sequence the next step can use: 0 unless it is one that decodes.
  package func draftRoom(of id: SequenceID) -> Int {
    guard isLive(id), sequences[id.slot].decodes, !sequences[id.slot].isCancelled else { return 0 }
    // The step samples one token behind the last draft, and that one may be the sequence's last.
    return sequences[id.slot].limit - sequences[id.slot].tokens.count - 1
  }

  /// Gives the next step guesses of how a sequence goes on, of which it takes as many as fit. Between steps only;
  /// what was proposed for a sequence before is forgotten.
  package mutating func propose(_ drafts: ArraySlice<Int32>, for id: SequenceID) {
    precondition(!stepInFlight, "drafts come between steps")
    let room = draftRoom(of: id)
    guard isLive(id) else { return }
    sequences[id.slot].drafts.removeAll(keepingCapacity: true)
    sequences[id.slot].drafts.append(contentsOf: drafts.prefix(room))
  }

  /// Tokens and rows that this step may spend on drafts.
  ///
  /// Each decode has its own token and row; of the rest drafts get all, or half where prompts want some too.
  func draftBudget(_ budget: StepBudget) -> Int {
    var decodes = 0
    var prompts = waiting.count
    for slot in running {
      if sequences[slot].remaining == 1 { decodes += 1 } else { prompts += 1 }
    }
    let spare = max(0, min(budget.tokens, budget.logitRows) - decodes)
    return prompts > 0 ? spare / 2 : spare
  }

  /// How many drafts of a decode the step takes.
  func draftCount(of slot: Int, spare: Int) -> Int {
    let wanted = min(sequences[slot].drafts.count, spare)
    if wanted <= 0 { return 0 }
    // Places behind the last token in the block it is, or will be, in.
    let held = KVBlockPool.blockSize - 1 - sequences[slot].computed % KVBlockPool.blockSize
    // As many blocks stay available as there are sequences that may each need one now.
    let blocks = max(0, pool.availableCount / groupCount - running.count)
    return min(wanted, held + blocks * KVBlockPool.blockSize)
  }

  /// Gives back the blocks that only refused drafts needed, and publishes those that accepted ones filled.
  mutating func settleDrafts(of slot: Int) {
    sequences[slot].drafts.removeAll(keepingCapacity: true)
    if truncateTables(of: slot, to: Self.blocks(for: sequences[slot].computed)) {
      // Rows written with the blocks given back must not be taken for current ones.
      sequences[slot].tableGeneration &+= 1
    }
    publish(slot)
  }
}
