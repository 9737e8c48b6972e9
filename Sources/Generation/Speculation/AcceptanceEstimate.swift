/// Acceptance by how much speaks for a proposal: where two long pieces of text agree, what follows agrees far more often
/// than behind two tokens. One estimate for each class of evidence:
///
///     tokens that match   2   3   4 … 7   8 … 15   16 and more
struct EvidenceEstimates: Sendable, Equatable {
  /// More than this is no stronger.
  static let most = 16
  private static let prior = 0.7
  private var classes = Array(repeating: AcceptanceEstimate(prior: prior, weight: 2), count: 5)

  /// nil for no evidence.
  static func index(_ evidence: Int) -> Int? {
    switch evidence {
    case ...0: nil
    case ...2: 0
    case 3: 1
    case ...7: 2
    case ..<most: 3
    default: 4
    }
  }

  func probability(_ evidence: Int) -> Double? { Self.index(evidence).map { classes[$0].probability } }

  mutating func record(accepted: Int, of drafts: Int, evidence: Int) {
    guard let index = Self.index(evidence) else { return }
    classes[index].record(accepted: accepted, of: drafts)
  }

  /// A proposal was not tried: what was learned about its class fades, so that bad luck is not for ever. A class that
  /// loses is tried again about once in a hundred chances.
  mutating func skip(evidence: Int) {
    guard let index = Self.index(evidence) else { return }
    classes[index].relax(toward: Self.prior)
  }
}

/// How likely the next draft is accepted, given that those before it were: the α of the speculation formulas.
///
/// A verification of k drafts is a row of trials that ends with the first failure: `a` accepted ones are `a`
/// successes, and a failure unless all were accepted. Old trials fade, because texts change.
package struct AcceptanceEstimate: Sendable, Equatable {
  private var successes: Double
  private var trials: Double

  /// Each new trial makes the older ones count this much less.
  private let memory: Double

  /// - Parameters:
  ///   - probability: what to expect before anything is known.
  ///   - weight: how many trials that is worth.
  ///   - memory: what each new trial leaves of the weight of those before it.
  init(prior probability: Double, weight: Double, memory: Double = 0.96) {
    self.memory = memory
    successes = probability * weight
    trials = weight
  }

  mutating func record(accepted: Int, of drafts: Int) {
    for trial in 0..<min(accepted + 1, drafts) {
      successes = successes * memory + (trial < accepted ? 1 : 0)
      trials = trials * memory + 1
    }
  }

  /// Moves a hundredth of the way, with the weight it has.
  mutating func relax(toward prior: Double) { successes += 0.01 * (prior * trials - successes) }

  var probability: Double { trials > 0 ? successes / trials : 0 }

  /// Tokens a step gives with `drafts` drafts: `1 + α + … + α^drafts` (Leviathan et al., arXiv 2211.17192, eq. 1).
  package static func expectedTokens(_ probability: Double, drafts: Int) -> Double {
    var sum = 1.0
    var power = 1.0
    for _ in 0..<drafts {
      power *= probability
      sum += power
    }
    return sum
  }
}
