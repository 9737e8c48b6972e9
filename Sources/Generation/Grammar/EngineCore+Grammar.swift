internal import Compute
internal import Scheduling

extension EngineCore {
  /// Begins to work out what the sequences of the step may be given.
  ///
  /// - Returns: whether there are any.
  @discardableResult
  func startMasks(_ plan: borrowing StepPlan) -> Bool {
    // There is a worker from the first request with a grammar on; until then nobody's step pays for a search.
    guard let maskWorker else { return false }
    var items: [MaskWorker.Item] = []
    for entry in plan.entries where entry.samples {
      guard let grammar = live(entry.id)?.grammar else { continue }
      let end = entry.tokenStart + entry.tokenCount
      items.append(MaskWorker.Item(grammar: grammar, drafts: plan.tokens[end - entry.draftCount..<end]))
    }
    if items.isEmpty { return false }
    maskWorker.start(items)
    return true
  }

  func finishMasks() { maskWorker?.finish() }

  /// Remembers which sequences the next step may jump forward in.
  mutating func noteConstrained() {
    constrained.removeAll(keepingCapacity: true)
    if maskWorker == nil { return }
    for index in 0..<work.plan.entries.count where outcomes[index] == .sampled {
      guard let sequence = live(work.plan.entries[index].id), sequence.grammar != nil else { continue }
      constrained.append(sequence)
    }
  }

  /// Proposes the text that grammars leave no choice about, in the place of what speculation guessed.
  mutating func proposeForced() {
    for sequence in constrained where live(sequence.id) === sequence {
      let room = min(scheduler.draftRoom(of: sequence.id), Self.mostForced)
      let tokens = sequence.grammar?.forcedTokens(limit: room) ?? []
      sequence.draftsAreForced = !tokens.isEmpty
      if !tokens.isEmpty { scheduler.propose(tokens[...], for: sequence.id) }
    }
    constrained.removeAll(keepingCapacity: true)
  }

  /// Forced tokens of a sequence in one step.
  private static var mostForced: Int { 32 }
}
