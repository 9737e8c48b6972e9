internal import Compute
internal import Scheduling

/// Steps on a device that samples: the next one is launched before the results of the one before are taken.
///
/// ```
/// device   |  step 1  |  step 2  |  step 3  |
/// host     plan 2, settings, launch ┤ take 1, report 1, commands ├ plan 3, settings, launch ┤ take 2 …
/// ```
/// Step 2 reads the tokens that step 1 samples where they lie. What step 1 ends (a stop token, a failure) is computed once
/// more for nothing. The host's part is all that it does with tokens: events, log-probabilities, and what other threads
/// then make of them (text, stop strings, streams).
extension EngineCore {
  mutating func step(_ device: any StepSampler) throws(EngineFailure) {
    if !isInFlight {
      try proposeDrafts()
      proposeForced()
      guard plan(work) else { return }
      try launch(work, device)
    }
    var hasNext = false
    if work.mayRunAhead {
      scheduler.presume(work.plan)
      hasNext = plan(nextWork)
      if hasNext { try launch(nextWork, device) }
    }
    try take(device)
    isInFlight = hasNext
    if hasNext { swap(&work, &nextWork) }
  }

  /// Enqueues a step, and then the sampling of its rows. How they are sampled is sent with the step, in one copy; only
  /// grammars' masks, which are made while the device computes already, are read where they lie.
  private mutating func launch(_ work: StepWork, _ device: any StepSampler) throws(EngineFailure) {
    let makesMasks = startMasks(work.plan)
    prepareSampling(work)
    var failure: KernelError?
    do throws(KernelError) { try device.launch(work.plan, sampling: work.batch) } catch { failure = error }
    finishMasks()
    if let failure { throw .model(failure) }
    try poolStates(work)
    if makesMasks { restrictSampling(work) }
    do throws(KernelError) { try device.sample(work.batch) } catch { throw .model(error) }
  }

  /// Puts the masks of grammars into the batch.
  private func restrictSampling(_ work: StepWork) {
    for index in 0..<work.plan.entries.count {
      let entry = work.plan.entries[index]
      guard entry.samples, let grammar = live(entry.id)?.grammar else { continue }
      let first = entry.logitRange.upperBound - 1 - entry.draftCount
      for place in 0...entry.draftCount where work.batch.places(ofRow: first + place) != nil {
        // Nobody asks for what stands behind a draft that the grammar forbids, or where it has failed.
        guard let mask = try? grammar.mask(of: place) else { break }
        work.batch.restrict(row: first + place, to: mask)
      }
    }
  }

  /// Shares the rows out between the device and the host.
  private func prepareSampling(_ work: StepWork) {
    work.batch.removeAll()
    work.hostRows.removeAll(keepingCapacity: true)
    work.mayRunAhead = mayRunAhead(work.plan)
    for index in 0..<work.plan.entries.count {
      let entry = work.plan.entries[index]
      guard let sequence = live(entry.id) else { continue }
      let first = entry.logitRange.upperBound - (entry.samples ? 1 + entry.draftCount : 0)
      // Rows of a prompt are scored with tokens that are known, by the host.
      for row in entry.logitRange.lowerBound..<first { work.hostRows.append(Int32(row)) }
      if !entry.samples { continue }
      let last = entry.tokenStart + entry.tokenCount - entry.draftCount - 1
      let isPending = index < work.plan.tokenSources.count && work.plan.tokenSources[index] >= 0
      for place in 0...entry.draftCount {
        let isTaken = work.batch.add(
          sequence.sampling, row: first + place, position: Int(work.plan.positions[last]) + place + 1,
          pending: place + (isPending ? 1 : 0), fresh: isPending ? last : nil,
          alternatives: sequence.request.logprobs, isRestricted: sequence.grammar != nil)
        if !isTaken { work.hostRows.append(Int32(first + place)) }
      }
    }
    if !work.hostRows.isEmpty { work.mayRunAhead = false }
  }

  /// Whether the step behind this one may be planned before its tokens are known. Not where
  ///
  /// - drafts are proposed: they continue the last token;
  /// - a token depends on the order of those before it (bad words of several tokens, grammars): the host looks for that;
  /// - an adapter is used: the end of its last request gives its memory back, and an overrun would still read it.
  ///
  /// `prepareSampling` adds the rows that the host has to look at, as it cannot while their successor overwrites them.
  private func mayRunAhead(_ plan: borrowing StepPlan) -> Bool {
    guard options.overlapsSteps, speculation == nil, plan.adapterRuns.isEmpty else { return false }
    for entry in plan.entries where entry.samples {
      if let sequence = live(entry.id), sequence.sampling.dependsOnOrder || sequence.grammar != nil {
        return false
      }
    }
    return true
  }

  private mutating func take(_ device: any StepSampler) throws(EngineFailure) {
    let rows: LogitRows?
    do throws(KernelError) {
      try device.collect(work.batch, into: &results)
      rows = work.hostRows.isEmpty ? nil : try device.logits(ofRows: work.hostRows)
    } catch {
      throw .model(error)
    }
    try finish(rows)
  }

  /// The token of one row of logits, with log-probabilities where they were asked for: as the device found them, or the
  /// host now does.
  mutating func choose(
    row: Int, position: Int, _ sequence: LiveSequence, _ rows: LogitRows?, _ step: StepRows, _ mask: [UInt32]?
  ) throws(SamplingFailure) -> (token: Int32, logprobs: TokenLogprobs?) {
    if let place = step.place(ofRow: row) { return try results.token(at: place) }
    guard let rows else { preconditionFailure("row \(row) was given to nobody") }
    let logits = unsafe rows.row(row)
    let token = try unsafe sampler.sample(logits, sequence.sampling, position: position, mask: mask)
    guard let count = sequence.request.logprobs else { return (token, nil) }
    return (token, try unsafe sampler.logprobs(logits, token: token, top: count))
  }
}
