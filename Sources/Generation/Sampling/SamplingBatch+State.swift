package import Compute

extension SamplingBatch {
  /// Adds a row that is sampled as `state` says; the same token as `Sampler.sample`, with what `restrict` leaves.
  ///
  /// - Parameters:
  ///   - row: of the step's logits.
  ///   - position: of the new token, in prompt and output together.
  ///   - pending: output tokens in front of it that `state` has not been told yet.
  ///   - fresh: where the device finds the only one of these, by its place among the step's tokens; nil where it does not.
  ///   - alternatives: to report beside the token; nil reports no log-probabilities.
  ///   - isRestricted: the row gets a mask whatever `state` has, because a grammar's will be known later.
  /// - Returns: whether the device can; if not, the host has to.
  package mutating func add(
    _ state: SamplingState, row: Int, position: Int, pending: Int = 0, fresh: Int? = nil, alternatives: Int?,
    isRestricted: Bool = false
  ) -> Bool {
    if pending > 0 && (state.dependsOnOrder || (state.countsTokens && (pending > 1 || fresh == nil))) {
      return false
    }
    let parameters = state.parameters
    var settings = Row(row: row, seed: state.seed, position: position)
    settings.choice = state.choice
    settings.temperature = parameters.temperature
    settings.topP = parameters.topP
    settings.minP = parameters.minP
    settings.topK = Int32(clamping: parameters.topK)
    settings.alternatives = alternatives
    let masksEnd = state.masksEnd(pending: pending)
    if !state.alwaysChangesLogits && !masksEnd && !isRestricted { return add(settings) }
    return add(settings) { batch, changes in
      if isRestricted || state.allowedMask != nil {
        guard let number = batch.mask(state.allowedMask) else { return false }
        changes.mask = number
      }
      if pending > 0 && state.countsTokens { changes.fresh = fresh }
      return batch.edit(state, masksEnd: masksEnd) && batch.see(state, &changes)
    }
  }

  /// A row names a token once: what is excluded stays so whatever its bias.
  private mutating func edit(_ state: SamplingState, masksEnd: Bool) -> Bool {
    let first = edits.count
    func isExcluded(_ batch: borrowing SamplingBatch, _ token: Int32) -> Bool {
      batch.edits[first...].contains { $0.token == token && $0.addend == -.infinity }
    }
    for word in state.parameters.badWords where state.completes(word) {
      let token = word[word.count - 1]
      if !isExcluded(self, token) { edit(token, by: -.infinity) }
    }
    if masksEnd {
      for token in state.endTokens where !isExcluded(self, token) { edit(token, by: -.infinity) }
    }
    // Looked through for each bias.
    let excluded = edits.count
    if excluded - first > Self.mostExcluded { return false }
    for (token, bias) in state.parameters.logitBias {
      if edits[first..<excluded].contains(where: { $0.token == token }) { continue }
      edit(token, by: bias)
    }
    return edits.count <= capacity.edits
  }

  private static let mostExcluded = 256

  private mutating func see(_ state: SamplingState, _ changes: inout Changes) -> Bool {
    changes.repetition = state.parameters.repetitionPenalty
    changes.frequency = state.parameters.frequencyPenalty
    changes.presence = state.parameters.presencePenalty
    if seen.count + state.occurrences.count > capacity.seenTokens { return false }
    for (token, count) in state.occurrences where Int(token) < capacity.vocabularySize {
      see(token, inOutput: count.inOutput)
    }
    return true
  }
}

extension SamplingResults {
  /// The token of a row, with its log-probabilities where they were asked for.
  /// - Throws: why the row has none.
  package func token(at place: Int) throws(SamplingFailure) -> (token: Int32, logprobs: TokenLogprobs?) {
    let entry = entries[place]
    switch entry.failure {
    case .notFinite, .unknown: throw .notFinite(token: entry.token)
    case .nothingAllowed: throw .nothingAllowed
    case nil: break
    }
    guard let found = entry.logprobs else { return (entry.token, nil) }
    let chosen = TokenLogprobs.Entry(
      token: entry.token, logprob: found.logprob, rank: Int(found.rank))
    let first = found.alternatives.lowerBound
    let top = found.alternatives.map { index in
      TokenLogprobs.Entry(token: tokens[index], logprob: logprobs[index], rank: index - first + 1)
    }
    return (entry.token, TokenLogprobs(chosen: chosen, top: top))
  }
}
