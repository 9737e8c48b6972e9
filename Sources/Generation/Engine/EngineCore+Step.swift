internal import Compute
internal import Scheduling

extension EngineCore {
  /// Plans and runs one step, if anything is alive.
  /// - Throws: the engine cannot go on.
  mutating func step() throws(EngineFailure) {
    try proposeDrafts()
    proposeForced()
    let start = options.clock.now()
    guard scheduler.next(into: &plan) else { return }
    let planned = options.clock.now()
    markStarted(planned)
    let rows: LogitRows
    startMasks()
    do {
      rows = try model.forward(plan)
    } catch {
      finishMasks()
      throw .model(error)
    }
    finishMasks()
    let computed = options.clock.now()
    if rows.count < plan.logitRows.count || rows.vocabularySize != sampler.vocabularySize {
      throw .logits(rows: rows.count, vocabulary: rows.vocabularySize, wanted: plan.logitRows.count)
    }
    sample(rows)
    let chosen = options.clock.now()
    scheduler.commit(plan, sampled: sampled, outcomes: &outcomes)
    learn(seconds: Self.seconds(start, chosen))
    noteConstrained()
    report(now: chosen, modelTime: Self.seconds(planned, computed))
    publish()
    let end = options.clock.now()
    timings.add(start: start, planned: planned, computed: computed, chosen: chosen, end: end)
    metrics.update { metrics in
      metrics.stepHostTime.observe(Self.seconds(start, planned) + Self.seconds(computed, end))
    }
    if options.validateEachStep {
      do {
        try scheduler.checkInvariants()
      } catch {
        throw .invariant("\(error)")
      }
    }
  }

  static func seconds(_ from: UInt64, _ to: UInt64) -> Double {
    to > from ? Double(to - from) / 1e9 : 0
  }

  private mutating func markStarted(_ now: UInt64) {
    for index in 0..<plan.entries.count {
      let entry = plan.entries[index]
      guard let request = sequences[entry.id.slot]?.request, request.startTime == nil else { continue }
      request.startTime = now
      request.cachedTokens = entry.cachedTokens
      startedCount += 1
    }
    mailbox.setWaiting(requests.count - startedCount)
  }

  /// Fills `sampled`, one element an entry; leaves log-probabilities and failures with the sequences.
  private mutating func sample(_ rows: LogitRows) {
    sampled.removeAll(keepingCapacity: true)
    for index in 0..<plan.entries.count {
      let entry = plan.entries[index]
      guard let sequence = sequences[entry.id.slot] else {
        preconditionFailure("a plan carries a lost sequence")
      }
      var result = SampledToken(token: -1)
      do {
        if entry.logitRange.count > (entry.samples ? 1 + entry.draftCount : 0) {
          try readPromptLogprobs(entry, sequence, rows)
        }
        if entry.samples { result = try verify(entry, sequence, rows) }
      } catch {
        sequence.failure = "\(error)"
        result.isFailure = true
      }
      sampled.append(result)
    }
  }

  /// Rows in front of the sampled one score the prompt: the row of position `p` scores prompt token `p + 1`.
  private mutating func readPromptLogprobs(
    _ entry: StepPlan.Entry, _ sequence: LiveSequence, _ rows: LogitRows
  ) throws(SamplingFailure) {
    let request = sequence.request
    guard let count = request.promptLogprobs else { return }
    for row in entry.logitRange {
      let target = Int(plan.positions[Int(plan.logitRows[row])]) + 1
      if target >= request.prompt.count || request.foundPromptLogprobs[target] != nil { continue }
      request.foundPromptLogprobs[target] = try unsafe sampler.logprobs(
        rows.row(row), token: request.prompt[target], top: count)
    }
  }
}

/// Why an engine stopped by itself.
enum EngineFailure: Error, CustomStringConvertible {
  case model(KernelError)
  case logits(rows: Int, vocabulary: Int, wanted: Int)
  case invariant(String)

  var description: String {
    switch self {
    case .model(let error): "the model failed: \(error)"
    case .logits(let rows, let vocabulary, let wanted):
      "the model gave \(rows) rows of \(vocabulary) logits where \(wanted) rows of the vocabulary were wanted"
    case .invariant(let text): "the KV memory's books are wrong: \(text)"
    }
  }
}

/// Nanoseconds spent in the phases of all steps since the last reset.
package struct StepTimings: Sendable, Equatable {
  package var steps = 0
  package var schedule: UInt64 = 0
  package var model: UInt64 = 0
  package var sample: UInt64 = 0
  /// Commit, events and publishing.
  package var postprocess: UInt64 = 0

  mutating func add(start: UInt64, planned: UInt64, computed: UInt64, chosen: UInt64, end: UInt64) {
    steps += 1
    schedule &+= planned &- start
    model &+= computed &- planned
    sample &+= chosen &- computed
    postprocess &+= end &- chosen
  }
}
