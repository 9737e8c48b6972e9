import Glibc
import TestSupport
import Testing

@testable import Generation

/// A simulated machine: what a step costs is known, and so is what the best policy would reach on it.
@Suite struct DraftLengthPolicyTests {
  private struct Machine {
    /// Seconds of a step of so many rows.
    var step: (Int) -> Double
    /// The draft model's.
    var draftStep: ((Int) -> Double)?
    var acceptance: Double
  }

  /// Runs `steps` steps of `batch` new sequences; returns tokens a second over those of plain decoding, and the lengths.
  private func run(
    _ machine: Machine, batch: Int, steps: Int, maxDrafts: Int = 5, policy: inout DraftLengthPolicy
  ) -> (gain: Double, lengths: [Int]) {
    var random = SeededGenerator(seed: 7)
    var (seconds, tokens) = (0.0, 0)
    var lengths: [Int] = []
    let usesModel = machine.draftStep != nil
    // What the draft model has not read: the prompts, at first.
    var unread = Array(repeating: usesModel ? 8 : 0, count: batch)
    for _ in 0..<steps {
      let candidates = unread.map {
        DraftLengthPolicy.Candidate(
          acceptance: policy.acceptance.probability, available: maxDrafts, unread: $0)
      }
      let decision = policy.decide(candidates, usesModel: usesModel)
      lengths.append(decision.length)
      let noise = Double.random(in: 0.9...1.1, using: &random)
      let asked = decision.length > 0 ? unread.indices.filter { !decision.leftOut.contains($0) } : []
      var drafting = 0.0
      if let draftStep = machine.draftStep {
        for place in 0..<decision.length {
          let rows = asked.count + (place == 0 ? asked.reduce(0) { $0 + unread[$1] } : 0)
          policy.observe(DraftStep(rows: rows, seconds: draftStep(rows) * noise))
          drafting += draftStep(rows) * noise
        }
      }
      var emitted = batch
      for sequence in unread.indices where usesModel { unread[sequence] += 1 }
      for sequence in asked {
        var accepted = 0
        while accepted < decision.length, Double.random(in: 0..<1, using: &random) < machine.acceptance {
          accepted += 1
        }
        emitted += accepted
        if usesModel { unread[sequence] = 1 }
        policy.record(accepted: accepted, of: decision.length)
      }
      let rows = batch + asked.count * decision.length
      let step = machine.step(rows) * noise
      seconds += step + drafting
      tokens += emitted
      policy.observe(rows: rows, batch: batch, tokens: emitted, seconds: step, drafting: drafting)
    }
    return (Double(tokens) / seconds / (Double(batch) / machine.step(batch)), lengths)
  }

  /// The best fixed length's gain.
  private func best(_ machine: Machine, batch: Int, maxDrafts: Int = 5) -> Double {
    (0...maxDrafts).map { length in
      let seconds = machine.step(batch * (1 + length)) + Double(length) * (machine.draftStep?(batch) ?? 0)
      return AcceptanceEstimate.expectedTokens(machine.acceptance, drafts: length) * machine.step(batch)
        / seconds
    }.max() ?? 1
  }

  @Test(
    "It comes near the best fixed length on any machine, and never loses",
    arguments: [1, 2, 4, 8, 32, 128], [0.05, 0.3, 0.6, 0.9])
  func nearBest(batch: Int, acceptance: Double) {
    let machines: [(String, Machine)] = [
      ("bandwidth", Machine(step: { max(1, Double($0) / 64) }, acceptance: acceptance)),
      ("linear", Machine(step: { 0.2 + Double($0) }, acceptance: acceptance)),
      ("half", Machine(step: { 4 + Double($0) / 2 }, acceptance: acceptance)),
      (
        "with a model",
        Machine(step: { 4 + Double($0) / 4 }, draftStep: { 0.5 + Double($0) / 32 }, acceptance: acceptance)
      ),
    ]
    for (name, machine) in machines {
      var policy = DraftLengthPolicy(maxDrafts: 5)
      let (gain, lengths) = run(machine, batch: batch, steps: 1500, policy: &policy)
      #expect(gain > 0.97, "\(name): \(gain)")
      #expect(gain > 0.9 * best(machine, batch: batch), "\(name): \(gain) of \(best(machine, batch: batch))")
      if best(machine, batch: batch) < 1.01 {
        // What loses little may be taken for a gain by the noise of a tenth, now and then.
        #expect(lengths.suffix(500).filter { $0 > 0 }.count < 50, "\(name) keeps trying")
      }
    }
  }

  @Test(
    "A draft model that is never right is not asked at the price of what it has to read",
    arguments: [1, 4, 16])
  func reading(batch: Int) {
    // A token read costs a tenth of a step of one row: after 256 steps without drafts that is 25 steps a sequence.
    let machine = Machine(
      step: { 1 + 0.05 * Double($0) }, draftStep: { 0.2 + 0.1 * Double($0) }, acceptance: 0.05)
    var policy = DraftLengthPolicy(maxDrafts: 4)
    let first = run(machine, batch: batch, steps: 256, maxDrafts: 4, policy: &policy)
    #expect(first.gain > 0.95, "\(first.gain)")
    for _ in 0..<12 {
      // Any 256 steps: an account that may be overdrawn by one long reading only looks good in the mean of many.
      let gain = run(machine, batch: batch, steps: 256, maxDrafts: 4, policy: &policy).gain
      #expect(gain > 0.97, "\(gain)")
    }
  }

  @Test("It switches off when the batch grows, and on again when it shrinks")
  func offAndOn() {
    let machine = Machine(step: { max(1, Double($0) / 16) }, acceptance: 0.7)
    var policy = DraftLengthPolicy(maxDrafts: 4)
    let small = run(machine, batch: 2, steps: 300, maxDrafts: 4, policy: &policy).lengths
    let large = run(machine, batch: 64, steps: 300, maxDrafts: 4, policy: &policy).lengths
    let again = run(machine, batch: 2, steps: 300, maxDrafts: 4, policy: &policy).lengths
    // All but those that are there to know what a step without drafts takes.
    #expect(small.suffix(100).filter { $0 > 0 }.count >= 96)
    #expect(large.suffix(100).filter { $0 > 0 }.count <= 4)
    #expect(again.suffix(100).filter { $0 > 0 }.count >= 96)
  }

  @Test("Where drafts lose against all belief, the account stops them", arguments: [1, 4, 32])
  func account(batch: Int) {
    var random = SeededGenerator(seed: 3)
    var policy = DraftLengthPolicy(maxDrafts: 4)
    let candidates = Array(
      repeating: DraftLengthPolicy.Candidate(acceptance: 0.99, available: 4), count: batch)
    // Others on the machine only ever make a step slower, and some much.
    func noise() -> Double { 1 - 0.2 * log(1 - Double.random(in: 0..<1, using: &random)) }
    var (seconds, plain) = (0.0, 0.0)
    for _ in 0..<4000 {
      // The candidates promise nearly everything and keep nothing; rows cost little.
      let rows = batch * (1 + policy.decide(candidates, usesModel: false).length)
      let step = (1 + 0.2 * Double(rows - batch) / Double(batch)) * noise()
      seconds += step
      plain += noise()
      policy.observe(rows: rows, batch: batch, tokens: batch, seconds: step)
    }
    #expect(plain / seconds > 0.97)
    // It still looks now and then.
    #expect(policy.costs.count(rows: 5 * batch) > 1)
  }

  @Test("A slow spell of the machine while drafts run is not taken for a gain or a loss")
  func spells() {
    for acceptance in [0.1, 0.8] {
      var random = SeededGenerator(seed: 5)
      var policy = DraftLengthPolicy(maxDrafts: 4)
      var (seconds, plain) = (0.0, 0.0)
      for index in 0..<6000 {
        let candidate = DraftLengthPolicy.Candidate(
          acceptance: policy.acceptance.probability, available: 4)
        let length = policy.decide([candidate], usesModel: false).length
        var accepted = 0
        while accepted < length, Double.random(in: 0..<1, using: &random) < acceptance { accepted += 1 }
        if length > 0 { policy.record(accepted: accepted, of: length) }
        // For 700 steps everything takes four times as long, then it does not for 700, and every tenth is interrupted.
        let speed = (index / 700 % 2 == 0 ? 1.0 : 4) * Double.random(in: 0.95...1.05, using: &random)
        let step = (1 + 0.15 * Double(length)) * speed
        seconds += step
        plain += speed * Double(1 + accepted)
        let interruption = Int.random(in: 0..<10, using: &random) == 0 ? 3 * step : 0
        policy.observe(rows: 1 + length, batch: 1, tokens: 1 + accepted, seconds: step + interruption)
      }
      let machine = Machine(step: { 1 + 0.15 * Double($0 - 1) }, acceptance: acceptance)
      #expect(
        plain / seconds > max(0.97, 0.93 * best(machine, batch: 1, maxDrafts: 4)),
        "\(acceptance): \(plain / seconds)")
    }
  }

  @Test("A limit on the batch is obeyed; without proposals there is nothing to decide")
  func limits() {
    var policy = DraftLengthPolicy(maxDrafts: 4, largestBatch: 2)
    for _ in 0..<2 { policy.observe(rows: 1, batch: 1, tokens: 1, seconds: 1) }
    let one = DraftLengthPolicy.Candidate(acceptance: 0.9, available: 4)
    #expect(policy.decide([one], usesModel: false).length == 4)
    #expect(policy.decide([one, one, one], usesModel: false).length == 0)
    #expect(policy.decide([.init(acceptance: 0.9, available: 0)], usesModel: false).length == 0)
    #expect(policy.decide([], usesModel: false).length == 0)
  }
}
