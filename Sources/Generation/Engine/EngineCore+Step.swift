internal import Compute
internal import Scheduling

extension EngineCore {
  /// Plans and runs one step, if anything is alive. Where steps overlap, launches one and takes the results of the one
  /// before.
  /// - Throws: the engine cannot go on.
  mutating func step() throws(EngineFailure) {
    if let stepSampler { return try step(stepSampler) }
    try proposeDrafts()
    proposeForced()
    guard plan(work) else { return }
    startMasks(work.plan)
    let outcome: Result<LogitRows, KernelError>
    do throws(KernelError) {
      outcome = .success(try model.forward(work.plan))
    } catch {
      outcome = .failure(error)
    }
    finishMasks()
    let rows: LogitRows
    do throws(KernelError) { rows = try outcome.get() } catch { throw .model(error) }
    try poolStates(work)
    try finish(rows)
  }

  /// Plans a step; false when there is nothing to compute.
  mutating func plan(_ work: StepWork) -> Bool {
    work.start = options.clock.now()
    guard scheduler.next(into: &work.plan) else { return false }
    work.planned = options.clock.now()
    markStarted(work)
    return true
  }

  /// Takes the results of `work`: tokens, events, and what became of its sequences.
  ///
  /// - Parameter rows: its logits, where the host is to look at any.
  mutating func finish(_ rows: LogitRows?) throws(EngineFailure) {
    let computed = options.clock.now()
    if let rows,
      rows.count < work.plan.logitRows.count || rows.vocabularySize != sampler.vocabularySize
    {
      throw .logits(rows: rows.count, vocabulary: rows.vocabularySize, wanted: work.plan.logitRows.count)
    }
    sample(rows)
    let chosen = options.clock.now()
    scheduler.commit(work.plan, sampled: sampled, outcomes: &outcomes)
    learn(seconds: Self.seconds(work.start, chosen))
    noteConstrained()
    // A step that was launched early began when the one before was over.
    let began = max(work.planned, lastComputed)
    report(now: chosen, modelTime: Self.seconds(began, computed))
    publish()
    let end = options.clock.now()
    timings.add(
      schedule: work.planned &- work.start, model: computed > began ? computed - began : 0,
      sample: chosen &- computed, postprocess: end &- chosen)
    lastComputed = computed
    metrics.update { [work] metrics in
      metrics.stepHostTime.observe(Self.seconds(work.start, work.planned) + Self.seconds(computed, end))
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

  private mutating func markStarted(_ work: StepWork) {
    if startedCount == requests.count { return }
    let entries = work.plan.entries
    for index in 0..<entries.count {
      guard let request = live(entries[index].id)?.request, request.startTime == nil else { continue }
      request.startTime = work.planned
      request.cachedTokens = entries[index].cachedTokens
      startedCount += 1
      countAdapter(request) {
        $0.waiting -= 1
        $0.running += 1
      }
    }
    mailbox.setWaiting(requests.count - startedCount)
  }

  /// Fills `sampled`, one element an entry; leaves log-probabilities and failures with the sequences.
  private mutating func sample(_ rows: LogitRows?) {
    sampled.removeAll(keepingCapacity: true)
    let entries = work.plan.entries
    let step = StepRows(work)
    for index in 0..<entries.count {
      let entry = entries[index]
      var result = SampledToken(token: -1)
      // It was cancelled, or ended with the step before, while the device computed this one.
      guard let sequence = live(entry.id) else {
        sampled.append(result)
        continue
      }
      do {
        if let rows, entry.logitRange.count > (entry.samples ? 1 + entry.draftCount : 0) {
          try readPromptLogprobs(entry, sequence, rows)
        }
        if entry.samples { result = try verify(entry, sequence, rows, step) }
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
      let target = Int(work.plan.positions[Int(work.plan.logitRows[row])]) + 1
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

  mutating func add(schedule: UInt64, model: UInt64, sample: UInt64, postprocess: UInt64) {
    steps += 1
    self.schedule &+= schedule
    self.model &+= model
    self.sample &+= sample
    self.postprocess &+= postprocess
  }
}
