/// How likely the next draft is accepted, given that those before it were: the α of the speculation formulas.
///
/// A verification of k drafts is a row of trials that ends with the first failure: `a` accepted ones are `a`
/// successes, and a failure unless all were accepted. Old trials fade, because texts change.
struct AcceptanceEstimate: Sendable, Equatable {
  private var successes: Double
  private var trials: Double

  /// Each new trial makes the older ones count this much less.
  private static let memory = 0.96

  /// - Parameters:
  ///   - probability: what to expect before anything is known.
  ///   - weight: how many trials that is worth.
  init(prior probability: Double, weight: Double) {
    successes = probability * weight
    trials = weight
  }

  mutating func record(accepted: Int, of drafts: Int) {
    for trial in 0..<min(accepted + 1, drafts) {
      successes = successes * Self.memory + (trial < accepted ? 1 : 0)
      trials = trials * Self.memory + 1
    }
  }

  var probability: Double { trials > 0 ? successes / trials : 0 }

  /// Tokens a step gives with `drafts` drafts: `1 + α + … + α^drafts` (Leviathan et al., arXiv 2211.17192, eq. 1).
  static func expectedTokens(_ probability: Double, drafts: Int) -> Double {
    var sum = 1.0
    var power = 1.0
    for _ in 0..<drafts {
      power *= probability
      sum += power
    }
    return sum
  }
}
