internal import Glibc

/// The distribution that a row of logits stands for, in double precision.
package struct LogProbabilities: Sendable {
  /// Natural logarithms, one a token of the vocabulary.
  package let values: [Double]
  /// The likeliest token, the first of equals.
  package let best: Int
  /// False where a logit is NaN or infinite; nothing else is to be believed then.
  package let isFinite: Bool

  /// - Precondition: at least one logit.
  package init(_ logits: some Collection<Float>) {
    var best = 0
    var greatest = -Float.infinity
    var isFinite = true
    for (index, logit) in logits.enumerated() {
      if logit > greatest { (greatest, best) = (logit, index) }
      isFinite = isFinite && logit.isFinite
    }
    precondition(!logits.isEmpty, "a distribution over no tokens")
    self.best = best
    self.isFinite = isFinite
    let shifted = logits.map { Double($0) - Double(greatest) }
    let logarithm = log(shifted.reduce(0) { $0 + exp($1) })
    values = shifted.map { $0 - logarithm }
  }

  package subscript(token: Int) -> Double { values[token] }

  /// Kullback-Leibler divergence `Σ p (ln p − ln q)` of `other` (q) from this distribution (p), in nats; never
  /// negative.
  ///
  /// - Precondition: equal vocabularies.
  package func divergence(of other: LogProbabilities) -> Double {
    precondition(values.count == other.values.count, "distributions over different vocabularies")
    var sum = 0.0
    for index in values.indices { sum += exp(values[index]) * (values[index] - other.values[index]) }
    return max(0, sum)
  }
}
