/// Decides how many drafts the sequences of a step get, none included, from what acceptance and time were before.
///
/// A step with drafts computes more rows and gives more tokens. Its length is the one with the most expected tokens
/// a second:
///
/// ```
/// tokens(k)   Σ over sequences  1 + α + … + α^min(k, available)
/// seconds(k)  step of  Σ 1 + min(k, available)  rows  +  k steps of the draft model, where there is one
/// ```
/// Small batches leave room in a step, because it is bound by reading the weights; large ones do not, and there the
/// best length becomes 0 by itself. As nothing is learned while nothing is tried, a short try is made now and then,
/// more and more seldom while tries keep losing. In the same way a step without drafts is made now and then while drafts
/// gain, as what it takes is half of every comparison.
///
/// Whatever is believed, an account is kept of what drafts brought: where they lost more time than `lossShare` of all
/// steps' and a start, there are none until that is paid. A draft model that was not asked for long has much to read first, and
/// nobody knows whether that comes back: sequences are drafted for as the account can pay for their reading, those with the
/// least to read first.
///
/// A pure function of the calls made on it.
struct DraftLengthPolicy: Sendable {
  /// What one sequence could do.
  struct Candidate: Sendable {
    var acceptance: Double
    /// Drafts it has, or could get.
    var available: Int
    /// Tokens that a draft model would have to read first, beside the last one.
    var unread = 0
  }

  struct Decision: Sendable, Equatable {
    var length: Int
    /// Against no drafts, as expected; 1 without drafts.
    var gain: Double
    /// Nothing speaks for it but that it has not been tried for long.
    var isTrial = false
    /// Candidates that get none, whatever the length.
    var leftOut: Set<Int> = []
  }

  let maxDrafts: Int
  let largestBatch: Int?
  private(set) var costs = StepCosts()
  /// Of the draft model's steps.
  private(set) var draftCosts = StepCosts()
  /// Over all sequences; what is expected of a new one.
  private(set) var acceptance = AcceptanceEstimate(prior: 0.7, weight: 4, memory: 0.99)
  private var stepsSinceDrafts = 0
  private var stepsSincePlain = 0
  private var patience = Self.shortestPatience
  private var triesOne = false
  private var lastLength = 0
  private var decision = Decision(length: 0, gain: 1)
  /// What the draft model is thought to take for the decision; nil before anything is known of it.
  private var expectedDrafting: Double?
  /// In steps without drafts of the batch at the time.
  private(set) var credit = Self.firstCredit

  /// Steps without drafts before the first try, and at most.
  static let shortestPatience = 32
  static let longestPatience = 512
  /// A gain below this is noise; the second is for drafts that run already.
  static let leastGain = 1.04
  static let leastKeptGain = 1.015
  /// Steps with drafts before one without, at most.
  static let plainInterval = 64
  /// What drafts may lose of the time of all steps. Three hundredths are promised; the rest is for costs that nobody measures.
  static let lossShare = 0.01
  static let firstCredit = 6.0
  /// What was gained long ago is no reason to lose now.
  static let mostCredit = 16.0

  init(maxDrafts: Int, largestBatch: Int? = nil) {
    self.maxDrafts = maxDrafts
    self.largestBatch = largestBatch
  }

  /// - Parameter usesModel: drafts come from a model whose steps take time.
  mutating func decide(_ candidates: [Candidate], usesModel: Bool) -> Decision {
    let batch = candidates.count
    if let largestBatch, batch > largestBatch { return settle(Decision(length: 0, gain: 1)) }
    let longest = min(maxDrafts, candidates.lazy.map(\.available).max() ?? 0)
    if longest == 0 { return settle(Decision(length: 0, gain: 1)) }
    // Nothing is known yet: steps without drafts first, the first of which may be of a cold machine. Then ever fewer.
    let known = costs.count(rows: batch)
    guard known >= 2, let plain = costs.seconds(rows: batch),
      stepsSincePlain < min(Self.plainInterval, 4 * known), credit > 0
    else { return settle(Decision(length: 0, gain: 1)) }
    var candidates = candidates
    var best = Decision(length: 0, gain: 1)
    expectedDrafting = nil
    if usesModel {
      let reading = reading(candidates, plain: plain)
      best.leftOut = reading.leftOut
      for index in reading.leftOut { candidates[index].available = 0 }
      guard candidates.contains(where: { $0.available > 0 }) else { return settle(best) }
      guard let step = draftCosts.seconds(rows: batch) else {
        best.length = min(2, longest)
        best.isTrial = true
        return settle(best)
      }
      expectedDrafting = reading.seconds + step
    }
    for length in 1...longest {
      let gain = self.gain(candidates, length, plain: plain, usesModel: usesModel)
      if gain > best.gain { (best.length, best.gain) = (length, gain) }
    }
    if best.length > 0, best.gain < (lastLength > 0 ? Self.leastKeptGain : Self.leastGain) {
      (best.length, best.gain) = (0, 1)
    }
    if best.length == 0, stepsSinceDrafts >= patience {
      patience = min(2 * patience, Self.longestPatience)
      // One draft may cost nothing where two cost much: each in turn.
      best.length = min(triesOne ? 1 : 2, longest)
      triesOne.toggle()
      best.isTrial = true
    }
    if let first = expectedDrafting, best.length > 0 {
      expectedDrafting = first + Double(best.length - 1) * (draftCosts.seconds(rows: batch) ?? 0)
    }
    return settle(best)
  }

  /// Which sequences are not drafted for, as the account cannot pay for what the draft model would have to read first; and what
  /// reading the others takes beside a step of the draft model. A full account pays for one sequence however far behind it
  /// is; before anything is known, one is tried.
  private func reading(
    _ candidates: [Candidate], plain: Double
  ) -> (leftOut: Set<Int>, seconds: Double) {
    let order = candidates.indices.filter { candidates[$0].available > 0 }.sorted {
      (candidates[$0].unread, $0) < (candidates[$1].unread, $1)
    }
    let step = draftCosts.seconds(rows: candidates.count)
    var (rows, seconds) = (0, 0.0)
    for (place, index) in order.enumerated() {
      rows += candidates[index].unread
      if let step {
        let next = max(0, (draftCosts.seconds(rows: candidates.count + rows) ?? step) - step)
        let isFree = candidates[index].unread <= maxDrafts
        if isFree || next <= max(credit, 1) * plain || (place == 0 && credit >= Self.mostCredit) {
          seconds = next
          continue
        }
      } else if place == 0 {
        continue
      }
      return (Set(order[place...]), seconds)
    }
    return ([], seconds)
  }

  private mutating func settle(_ decision: Decision) -> Decision {
    stepsSinceDrafts = decision.length > 0 ? 0 : stepsSinceDrafts + 1
    stepsSincePlain = decision.length > 0 ? stepsSincePlain + 1 : 0
    if decision.length > 0, !decision.isTrial { patience = Self.shortestPatience }
    // A step in between that is there to be measured changes no mind.
    if decision.length > 0 || stepsSinceDrafts > 1 { lastLength = decision.isTrial ? 0 : decision.length }
    self.decision = decision
    return decision
  }

  /// Expected tokens a second with `length` drafts over those without.
  func gain(_ candidates: [Candidate], _ length: Int, plain: Double, usesModel: Bool) -> Double {
    var rows = 0
    var tokens = 0.0
    for candidate in candidates {
      let drafts = min(length, candidate.available)
      rows += 1 + drafts
      tokens += AcceptanceEstimate.expectedTokens(candidate.acceptance, drafts: drafts)
    }
    var seconds = costs.seconds(rows: rows) ?? plain
    if usesModel, let draft = draftCosts.seconds(rows: candidates.count) { seconds += Double(length) * draft }
    return seconds > 0 ? tokens / Double(candidates.count) * plain / seconds : 0
  }

  /// A step that only decoded.
  ///
  /// - Parameters:
  ///   - batch: sequences in it.
  ///   - tokens: new tokens of all of them.
  ///   - seconds: of the step; `drafting` that of the draft model in front of it.
  mutating func observe(rows: Int, batch: Int, tokens: Int, seconds: Double, drafting: Double = 0) {
    costs.observe(rows: rows, seconds: seconds)
    guard batch > 0, let plain = costs.seconds(rows: batch), plain > 0 else { return }
    if rows == batch, decision.length == 0 {
      credit += Self.lossShare
    } else {
      // What such steps usually take, as with those without drafts: an interruption is nobody's fault, and the lucky ones alone
      // would be a gain nobody has. What the draft model's first try takes says nothing about those behind it.
      let step = costs.seconds(rows: rows) ?? seconds
      var drafts = min(drafting, expectedDrafting ?? Self.firstCredit / 2 * plain)
      if decision.isTrial, expectedDrafting != nil { drafts = drafting }
      let spent = step + drafts
      credit += Double(tokens) / Double(batch) - spent / plain
    }
    credit = min(credit, Self.mostCredit)
  }

  /// A step of the draft model.
  mutating func observe(_ step: DraftStep) { draftCosts.observe(rows: step.rows, seconds: step.seconds) }

  mutating func record(accepted: Int, of drafts: Int) { acceptance.record(accepted: accepted, of: drafts) }
}
