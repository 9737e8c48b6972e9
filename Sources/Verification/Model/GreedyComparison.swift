package import Compute
internal import Generation
package import Models

/// Lets the candidate write greedily, and asks the reference about each of its tokens.
///
/// The rule of near ties: on the candidate's own prefix, the reference must hold each of its tokens within
/// `allowedGap` nats of the one it would have chosen. Rounding turns a near tie around; a wrong kernel does not stay
/// within half a nat. Everything is token ids, so no tokenizer can hide or make a difference.
package struct GreedyComparison {
  /// In nats.
  package static let allowedGap = 0.5

  /// What one prompt gave.
  package struct Row: Sendable, Equatable {
    package var promptTokens: Int
    /// Tokens that the candidate wrote.
    package var tokens: [Int32]
    /// Places where the reference would have written another token.
    package var differences: [Difference] = []
    /// Mean Kullback-Leibler divergence of the candidate from the reference over the written positions, in nats.
    package var meanDivergence = 0.0
    package var greatestDivergence = 0.0
    /// Greatest difference of a logit, and the greatest absolute logit of the reference.
    package var greatestLogitError = 0.0
    package var logitScale = 0.0
    package var isFinite = true

    package var greatestGap: Double { differences.map(\.gap).max() ?? 0 }
    package var isBreach: Bool { !isFinite || greatestGap > GreedyComparison.allowedGap }
  }

  package struct Difference: Sendable, Equatable {
    /// Place among the written tokens.
    package var position: Int
    package var reference: Int32
    package var candidate: Int32
    /// How much more likely the reference holds its own token, in nats.
    package var gap: Double
  }

  private let reference: ModelGraph
  private let candidate: ModelGraph

  package init(reference: ModelGraph, candidate: ModelGraph) {
    self.reference = reference
    self.candidate = candidate
  }

  /// - Precondition: prompt and `count` tokens fit both graphs' limits; the prompt is not empty.
  package func run(_ prompt: [Int32], count: Int) throws(KernelError) -> Row {
    let vocabulary = candidate.configuration.vocabularySize
    var written: [Int32] = []
    var found: [[Float]] = []
    var sequence = try PagedSequence(candidate, capacity: prompt.count + count)
    var logits = try sequence.append(prompt)
    while written.count < count {
      let row = Array(logits.suffix(vocabulary))
      found.append(row)
      written.append(Int32(LogProbabilities(row).best))
      if written.count < count { logits = try sequence.append([written[written.count - 1]]) }
    }
    var known = try PagedSequence(reference, capacity: prompt.count + count)
    let all = try known.append(prompt + written.dropLast())
    var result = Row(promptTokens: prompt.count, tokens: written)
    for position in 0..<count {
      let start = (prompt.count - 1 + position) * vocabulary
      compare(Array(all[start..<start + vocabulary]), found[position], position, &result)
    }
    if count > 0 { result.meanDivergence /= Double(count) }
    return result
  }

  private func compare(_ wanted: [Float], _ found: [Float], _ position: Int, _ result: inout Row) {
    let (known, tried) = (LogProbabilities(wanted), LogProbabilities(found))
    guard known.isFinite, tried.isFinite else {
      result.isFinite = false
      return
    }
    let divergence = known.divergence(of: tried)
    result.meanDivergence += divergence
    result.greatestDivergence = max(result.greatestDivergence, divergence)
    for (wanted, found) in zip(wanted, found) {
      result.greatestLogitError = max(result.greatestLogitError, abs(Double(wanted) - Double(found)))
      result.logitScale = max(result.logitScale, abs(Double(wanted)))
    }
    let own = result.tokens[position]
    if known.best != Int(own) {
      result.differences.append(
        Difference(
          position: position, reference: Int32(known.best), candidate: own,
          gap: known[known.best] - known[Int(own)]))
    }
  }
}
