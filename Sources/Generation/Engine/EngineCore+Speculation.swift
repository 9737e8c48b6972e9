internal import Compute
internal import Scheduling

/// Speculative decoding. Because each token is a function of its logits, the settings, the seed and its position
/// (`Sampler`), verifying is nothing but sampling: at each place of the drafts the engine draws the token it would
/// have drawn anyway, and goes on as long as that is the draft. What comes out is what would have come out without
/// drafts, token for token, with any settings; there is no rejection to correct for.
extension EngineCore {
  /// Proposes drafts for the sequences that the next step decodes.
  mutating func proposeDrafts() throws(EngineFailure) {
    guard var state = speculation.take() else { return }
    defer { speculation = state }
    let start = options.clock.now()
    state.batch.removeAll()
    state.candidates.removeAll(keepingCapacity: true)
    state.draftingSeconds = 0
    let maxDrafts = state.policy.maxDrafts
    let usesModel = state.source.costsSteps
    for sequence in state.decoding where live(sequence.id) === sequence {
      let room = max(min(scheduler.draftRoom(of: sequence.id), maxDrafts), 0)
      let acceptance = sequence.acceptance ?? state.policy.acceptance
      state.candidates.append(
        DraftLengthPolicy.Candidate(
          acceptance: acceptance.probability, available: room,
          unread: usesModel ? state.source.unread(sequence.id, scheduler) : 0))
    }
    if state.candidates.isEmpty { return }

    if usesModel { decide(&state) } else { state.decision.length = maxDrafts }
    if state.decision.length > 0 {
      for sequence in state.decoding where live(sequence.id) === sequence {
        let index = state.batch.subjects.count
        state.batch.add(
          DraftBatch.Subject(
            id: sequence.id,
            limit: state.decision.leftOut.contains(index) ? 0 : state.candidates[index].available,
            sampling: sequence.sampling, isShared: sequence.request.sharesCache))
      }
      state.batch.limit(to: state.decision.length)
      do throws(KernelError) {
        try state.source.propose(&state.batch, scheduler)
      } catch {
        throw .model(error)
      }
      if !usesModel {
        for index in state.candidates.indices {
          state.candidates[index].available = state.batch.drafts(of: index).count
          let subject = state.batch.subjects[index]
          live(subject.id)?.evidence = subject.evidence
          if let probability = state.evidence.probability(subject.evidence) {
            state.candidates[index].acceptance = probability
          }
        }
        decide(&state)
        state.batch.limit(to: state.decision.length)
        if state.decision.length == 0 {
          for subject in state.batch.subjects { state.evidence.skip(evidence: subject.evidence) }
        }
      }
      for index in state.batch.subjects.indices {
        let id = state.batch.subjects[index].id
        let drafts = state.batch.drafts(of: index)
        // What the grammar forbids would be computed for nothing.
        scheduler.propose(live(id)?.grammar?.allowedPrefix(of: drafts) ?? drafts, for: id)
      }
    }
    state.draftingSeconds = Self.seconds(start, options.clock.now())
    for step in state.batch.steps { state.policy.observe(step) }
  }

  private func decide(_ state: inout SpeculationState) {
    if state.adapts {
      state.decision = state.policy.decide(state.candidates, usesModel: state.source.costsSteps)
    } else {
      let isLarge = state.policy.largestBatch.map { state.candidates.count > $0 } ?? false
      let length = isLarge ? 0 : state.policy.maxDrafts
      let plain = state.policy.costs.seconds(rows: state.candidates.count)
      let gain = plain.map {
        state.policy.gain(state.candidates, length, plain: $0, usesModel: state.source.costsSteps)
      }
      state.decision = DraftLengthPolicy.Decision(length: length, gain: gain ?? 1)
    }
  }

  /// Samples an entry's new tokens: the drafts as far as they are what the sampler chooses, and one more.
  ///
  /// A failure behind the first row ends the drafts only: the next step meets it again in its own place.
  mutating func verify(
    _ entry: StepPlan.Entry, _ sequence: LiveSequence, _ rows: LogitRows?, _ step: StepRows
  ) throws(SamplingFailure) -> SampledToken {
    let first = entry.logitRange.upperBound - 1 - entry.draftCount
    let firstDraft = entry.tokenStart + entry.tokenCount - entry.draftCount
    var result = SampledToken(token: -1)
    for place in 0...entry.draftCount {
      let position = Int(step.positions[firstDraft - 1]) + place + 1
      do throws(SamplingFailure) {
        let mask = try sequence.grammar?.mask(of: place)
        let chosen = try choose(row: first + place, position: position, sequence, rows, step, mask)
        if let logprobs = chosen.logprobs { sequence.logprobs.append(logprobs) }
        result.token = chosen.token
      } catch {
        if place == 0 { throw error }
        // The draft before this row was chosen, and is the last token then.
        result.accepted = place - 1
        return result
      }
      result.accepted = place
      sequence.sampling.append(result.token)
      result.ends = sequence.sampling.endTokens.contains(result.token)
      if !result.ends, let grammar = sequence.grammar { result.ends = try grammar.take(result.token) }
      let isAccepted = place < entry.draftCount && step.tokens[firstDraft + place] == result.token
      if result.ends || !isAccepted { return result }
    }
    return result
  }

  /// Learns from a step: acceptance of each sequence, and what steps cost.
  mutating func learn(seconds: Double) {
    guard var state = speculation.take() else { return }
    var rows = 0
    var emitted = 0
    var onlyDecodes = true
    state.decoding.removeAll(keepingCapacity: true)
    for index in 0..<work.plan.entries.count {
      let entry = work.plan.entries[index]
      rows += entry.tokenCount
      if entry.tokenCount - entry.draftCount > 1 || !entry.samples { onlyDecodes = false }
      emitted += 1 + sampled[index].accepted
      guard let sequence = live(entry.id), !sampled[index].isFailure else { continue }
      if entry.draftCount > 0, !sequence.draftsAreForced {
        let accepted = sampled[index].accepted
        state.policy.record(accepted: accepted, of: entry.draftCount)
        state.evidence.record(accepted: accepted, of: entry.draftCount, evidence: sequence.evidence)
        var estimate =
          sequence.acceptance
          ?? AcceptanceEstimate(prior: state.policy.acceptance.probability, weight: 4)
        estimate.record(accepted: accepted, of: entry.draftCount)
        sequence.acceptance = estimate
        sequence.request.acceptedDrafts += accepted
        sequence.request.refusedDrafts += entry.draftCount - accepted
      }
      if outcomes[index] == .sampled { state.decoding.append(sequence) }
    }
    if onlyDecodes, rows > 0 {
      let batch = work.plan.entries.count
      let usesModel = state.source.costsSteps
      state.policy.observe(
        rows: rows, batch: batch, tokens: emitted, seconds: seconds,
        drafting: usesModel ? state.draftingSeconds : 0)
      if let plain = state.policy.costs.seconds(rows: batch) {
        let speed = Double(emitted) / Double(batch) * plain / (seconds + state.draftingSeconds)
        let decision = state.decision
        let total = seconds + state.draftingSeconds
        metrics.update { metrics in
          metrics.speculation?.take(
            draftLength: decision.length, speedUp: speed, batch: batch, drafts: rows - batch, seconds: total)
        }
      }
    }
    speculation = state
  }
}
