internal import Scheduling

extension EngineCore {
  /// Turns the outcomes of the step into events and observations.
  ///
  /// All is counted before the events are published: who reads a request's end finds it in the statistics.
  mutating func report(now: UInt64, modelTime: Double) {
    let metrics = self.metrics
    let drafts = speculation?.source
    metrics.update { metrics in
      metrics.counters.steps += 1
      metrics.iterationTokens.observe(Double(work.plan.tokens.count))
      metrics.stepModelTime.observe(modelTime)
      // Almost all sequences got their last token in the same step: one observation for each run of those.
      var interval: UInt64 = 0
      var intervalCount = 0
      let entries = work.plan.entries
      for index in 0..<entries.count {
        let outcome = outcomes[index]
        guard let sequence = live(entries[index].id) else { continue }
        let request = sequence.request
        if sampled[index].isFailure, let failure = sequence.failure {
          metrics.finished.error += 1
          close(sequence, .failed(failure), now: now, &metrics)
          continue
        }
        if outcome == .computed { continue }
        if !request.reportedPrompt { reportPrompt(request, now, &metrics) }
        if entries[index].samples {
          let elapsed = now &- sequence.lastTokenTime
          if sequence.generated == 0 {
            metrics.timeToFirstToken.observe(Double(elapsed) / 1e9)
          } else if elapsed == interval {
            intervalCount += 1
          } else {
            metrics.interTokenLatency.observe(Double(interval) / 1e9, times: intervalCount)
            interval = elapsed
            intervalCount = 1
          }
          sequence.lastTokenTime = now
          request.lastTokenTime = now
          if request.firstTokenTime == nil { request.firstTokenTime = now }
          stageTokens(entries[index], sampled[index], of: sequence, observedBy: drafts)
          metrics.counters.generationTokens += UInt64(1 + sampled[index].accepted)
          if entries[index].draftCount > 0, !sequence.draftsAreForced {
            metrics.speculation?.record(accepted: sampled[index].accepted, of: entries[index].draftCount)
          }
          touch(request)
        }
        switch outcome {
        case .computed, .sampled: break
        case .finished(.stopped):
          metrics.finished.stop += 1
          close(sequence, stopReason(sequence, sampled[index].token), now: now, &metrics)
        case .finished(.length):
          if let pool = request.pool { request.staged.append(.embedding(pool.vector)) }
          metrics.finished.length += 1
          close(sequence, .length, now: now, &metrics)
        case .finished(.cancelled), .finished(.failed), .discarded:
          metrics.finished.abort += 1
          close(sequence, .aborted, now: now, &metrics)
        }
      }
      metrics.interTokenLatency.observe(Double(interval) / 1e9, times: intervalCount)
      metrics.take(scheduler.statistics)
    }
  }

  /// The accepted drafts, and the token behind them.
  private func stageTokens(
    _ entry: StepPlan.Entry, _ sampled: SampledToken, of sequence: LiveSequence,
    observedBy source: (any DraftSource)?
  ) {
    let drafts = entry.tokenStart + entry.tokenCount - entry.draftCount
    let request = sequence.request
    let reportsLogprobs = request.logprobs != nil
    for place in 0...sampled.accepted {
      let token = place < sampled.accepted ? work.plan.tokens[drafts + place] : sampled.token
      let logprobs = reportsLogprobs && place < sequence.logprobs.count ? sequence.logprobs[place] : nil
      request.staged.append(.token(choice: sequence.choice, token: token, logprobs: logprobs))
      source?.observe(sequence.id, token: token, isShared: request.sharesCache)
    }
    sequence.generated += 1 + sampled.accepted
    if reportsLogprobs { sequence.logprobs.removeAll(keepingCapacity: true) }
  }

  private func stopReason(_ sequence: LiveSequence, _ token: Int32) -> FinishReason {
    let stop = sequence.request.stop
    let isComplete = sequence.grammar?.isComplete ?? false
    if !stop.ignoreEndOfText && stop.endOfTextTokens.contains(token) { return .endOfText }
    if isComplete { return .endOfText }
    return .stopToken(token)
  }

  private mutating func reportPrompt(_ request: LiveRequest, _ now: UInt64, _ metrics: inout EngineMetrics) {
    request.reportedPrompt = true
    metrics.counters.promptTokens += UInt64(request.prompt.count)
    metrics.counters.cachedPromptTokens += UInt64(request.cachedTokens)
    let logprobs = request.promptLogprobs.map { _ in request.foundPromptLogprobs }
    request.foundPromptLogprobs = []
    request.staged.append(.prompt(cachedTokens: request.cachedTokens, logprobs: logprobs))
    touch(request)
  }

  /// Stages the last event of a choice and forgets it; with the last choice the request is over.
  mutating func close(_ sequence: LiveSequence, _ reason: FinishReason, now: UInt64) {
    metrics.update { close(sequence, reason, now: now, &$0) }
  }

  private mutating func close(
    _ sequence: LiveSequence, _ reason: FinishReason, now: UInt64, _ metrics: inout EngineMetrics
  ) {
    let request = sequence.request
    sequences[sequence.id.slot] = nil
    speculation?.source.forget(sequence.id)
    if request.unfinished == 1, request.acceptedDrafts + request.refusedDrafts > 0 {
      request.staged.append(.speculation(accepted: request.acceptedDrafts, refused: request.refusedDrafts))
    }
    request.staged.append(.finished(choice: sequence.choice, reason: reason))
    request.unfinished -= 1
    request.longestOutput = max(request.longestOutput, sequence.generated)
    metrics.generationLength.observe(Double(sequence.generated))
    touch(request)
    if request.unfinished > 0 { return }
    requests[request.number] = nil
    metrics.countAdapter(request) {
      if request.startTime == nil { $0.waiting -= 1 } else { $0.running -= 1 }
    }
    releaseAdapter(of: request)
    if let start = request.startTime { startedCount -= 1; observe(request, start, now, &metrics) }
    metrics.endToEndLatency.observe(Self.seconds(request.arrival, now))
    metrics.promptLength.observe(Double(request.prompt.count))
    metrics.maxGenerationLength.observe(Double(request.longestOutput))
    metrics.maxTokensParameter.observe(Double(request.stop.maxTokens))
    metrics.choicesParameter.observe(Double(request.ids.count))
    if let lastFinish {
      let gap = Double(now &- lastFinish)
      finishInterval = finishInterval == 0 ? gap : 0.9 * finishInterval + 0.1 * gap
    }
    lastFinish = now
  }

  private func observe(_ request: LiveRequest, _ start: UInt64, _ now: UInt64, _ metrics: inout EngineMetrics)
  {
    metrics.queueTime.observe(Self.seconds(request.arrival, start))
    guard let first = request.firstTokenTime else { return }
    metrics.prefillTime.observe(Self.seconds(start, first))
    metrics.decodeTime.observe(Self.seconds(first, request.lastTokenTime))
    metrics.inferenceTime.observe(Self.seconds(start, request.lastTokenTime))
    metrics.prefillComputed.observe(Double(request.prompt.count - request.cachedTokens))
    if request.longestOutput > 1 {
      let perToken = Self.seconds(first, request.lastTokenTime) / Double(request.longestOutput - 1)
      metrics.timePerOutputToken.observe(perToken)
    }
  }

  mutating func touch(_ request: LiveRequest) {
    if request.isTouched { return }
    request.isTouched = true
    touched.append(request)
  }

  /// Hands the staged events over: one lock and at most one wake-up a request.
  mutating func publish() {
    if touched.isEmpty { return }
    var ended = 0
    for index in 0..<touched.count {
      let request = touched[index]
      let isOver = request.unfinished == 0
      request.isTouched = false
      request.outbox.publish(&request.staged, closing: isOver)
      if isOver { ended += 1 }
    }
    touched.removeAll(keepingCapacity: true)
    if ended > 0 { mailbox.requestsEnded(ended, finishInterval: finishInterval) }
  }
}
