import Compute
import Scheduling

@testable import Generation

/// `HistoryModel` as a device that samples: a step is computed when it is launched, tokens stay on the device until they
/// are collected, and logits are there only until the next launch.
final class HistoryDevice: EngineModel, StepSampler {
  enum Event: Equatable, Sendable {
    /// How many of a step's tokens were those of the step before it.
    case launch(Int, fed: Int)
    case collect(Int)
    case logits(Int, rows: Int)
  }

  final class Log: Sendable {
    let events = Monitor<[Event]>([])
    /// Replaces what the limits ask for.
    let capacity: SamplingCapacity?

    init(capacity: SamplingCapacity? = nil) { self.capacity = capacity }

    var trace: [Event] { events.withLock { $0 } }
    /// Steps that were launched before the results of the one before were collected.
    var overlaps: Int {
      let trace = trace
      return zip(trace, trace.dropFirst()).count { pair in
        if case (.launch, .launch) = pair {
          true
        } else if case (.collect, .launch(_, let fed)) = pair {
          fed > 0
        } else {
          false
        }
      }
    }
  }

  let capacity: SamplingCapacity
  private let model: HistoryModel
  private let log: Log
  private var sampler: Sampler
  private var rows: LogitRows?
  /// Of the last step.
  private var inputs: [Int32] = []
  /// By row of the last step's logits.
  private var tokens: [Int32] = []
  private var underWay: [SamplingResults] = []
  private var launched = 0
  private var collected = 0

  init(_ limits: EngineLimits, _ hooks: HistoryModel.Hooks, _ log: Log) {
    model = HistoryModel(limits, hooks)
    self.log = log
    capacity =
      log.capacity
      ?? SamplingCapacity(
        vocabularySize: limits.vocabularySize, rows: limits.maxLogitRows, sequences: limits.maxSequences,
        modelLength: limits.maxModelLength)
    sampler = Sampler(vocabularySize: limits.vocabularySize)
  }

  var limits: EngineLimits { model.limits }
  var stepSampler: (any StepSampler)? { self }
  func forward(_ plan: borrowing StepPlan) throws(KernelError) -> LogitRows { try model.forward(plan) }

  func launch(_ plan: borrowing StepPlan, sampling batch: SamplingBatch) throws(KernelError) {
    var resolved = copy plan
    var fed = 0
    for (index, source) in plan.tokenSources.enumerated() where source >= 0 {
      resolved.tokens[index] = tokens[Int(source)]
      fed += 1
    }
    rows = try model.forward(resolved)
    inputs = resolved.tokens
    precondition(underWay.count == launched - collected && underWay.count < 2, "three steps at once")
    log.events.update { [launched, fed] in $0.append(.launch(launched, fed: fed)) }
    launched += 1
  }

  func sample(_ batch: borrowing SamplingBatch) throws(KernelError) {
    guard let rows else { throw .unsupported(operation: "sample", reason: "no step was launched") }
    precondition(underWay.count == launched - collected - 1, "a step is sampled twice")
    tokens = Array(repeating: 0, count: rows.count)
    var results = SamplingResults()
    for row in batch.rows {
      let entry = sample(row, copy batch, unsafe Array(rows.row(Int(row.row))), &results)
      tokens[Int(row.row)] = entry.token
      results.append(entry)
    }
    underWay.append(results)
  }

  func collect(_ batch: borrowing SamplingBatch, into results: inout SamplingResults) throws(KernelError) {
    log.events.update { [collected] in $0.append(.collect(collected)) }
    collected += 1
    results = underWay.removeFirst()
  }

  func logits(ofRows rows: [Int32]) throws(KernelError) -> LogitRows {
    precondition(collected == launched, "the logits are another step's")
    log.events.update { [collected, rows] in $0.append(.logits(collected - 1, rows: rows.count)) }
    guard let rows = self.rows else {
      throw .unsupported(operation: "logits", reason: "no step was launched")
    }
    return rows
  }

  /// As the batch says, and not by the state it was made of.
  private func sample(
    _ row: SamplingBatch.Row, _ batch: SamplingBatch, _ logits: [Float], _ results: inout SamplingResults
  ) -> SamplingResults.Entry {
    var changed = logits
    if let changes = row.changes {
      for token in changed.indices where changes.mask >= 0 {
        let word = batch.masks[changes.mask * batch.capacity.maskWords + token / 32]
        if word >> UInt32(token % 32) & 1 == 0 { changed[token] = -.infinity }
      }
      for edit in batch.edits[changes.edits] { changed[Int(edit.token)] += edit.addend }
      var counts: [Int32: Int32] = [:]
      for seen in batch.seen[changes.seen] { counts[seen.token] = seen.inOutput }
      if let fresh = changes.fresh { counts[inputs[fresh], default: 0] += 1 }
      for (token, count) in counts {
        var logit = changed[Int(token)]
        logit = logit > 0 ? logit / changes.repetition : logit * changes.repetition
        if count > 0 {
          logit -= changes.frequency * Float(count)
          logit -= changes.presence
        }
        changed[Int(token)] = logit
      }
    }
    var parameters = SamplingParameters()
    (parameters.temperature, parameters.topP, parameters.minP) = (row.temperature, row.topP, row.minP)
    parameters.topK = Int(row.topK)
    let state = SamplingState(
      parameters: parameters, seed: row.seed, choice: Int(row.choice), prompt: [],
      vocabularySize: logits.count)
    do {
      if let broken = logits.firstIndex(where: { $0.isNaN || $0 == .infinity }) {
        throw SamplingFailure.notFinite(token: Int32(broken))
      }
      let token = try sampler.sample(changed, state, position: Int(row.position))
      var entry = SamplingResults.Entry(token: token, failure: nil)
      if let alternatives = row.alternatives {
        let found = try sampler.logprobs(logits, token: token, top: alternatives)
        let start = results.tokens.count
        for each in found.top { results.appendAlternative(each.token, each.logprob) }
        entry.logprobs = SamplingResults.Logprobs(
          logprob: found.chosen.logprob, rank: Int32(found.chosen.rank),
          alternatives: start..<results.tokens.count)
      }
      return entry
    } catch SamplingFailure.notFinite(let token) {
      return SamplingResults.Entry(token: token, failure: .notFinite)
    } catch {
      return SamplingResults.Entry(token: 0, failure: .nothingAllowed)
    }
  }
}
