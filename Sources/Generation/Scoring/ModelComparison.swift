internal import Glibc
package import JSON

/// How far a model's predictions are from another's on the same text, token by token.
///
/// Perplexity alone hides much: two models can be equally surprised by a text and predict different things. So the mean
/// divergence from the reference's distribution and the share of equal first choices stand beside it. Errors and
/// intervals are those of means over windows, as neighbouring tokens are not independent.
package struct ModelComparison: Sendable, Equatable {
  package struct Mean: Sendable, Equatable {
    package var value: Double
    /// nil for fewer than two windows.
    package var standardError: Double?
    /// Half of the interval that holds the mean of all such windows with a probability of 95 %, by Student's t.
    package var margin: Double?

    /// The mean of all tokens, and its error from the spread of the windows' means.
    init(sums: [Double], counts: [Int]) {
      let count = counts.reduce(0, +)
      value = sums.reduce(0, +) / Double(max(count, 1))
      guard sums.count > 1 else { return }
      let means = zip(sums, counts).map { $0 / Double(max($1, 1)) }
      let middle = means.reduce(0, +) / Double(means.count)
      let squares = means.reduce(0) { $0 + ($1 - middle) * ($1 - middle) }
      let error = (squares / Double(means.count - 1) / Double(means.count)).squareRoot()
      standardError = error
      margin = error * Self.quantile(freedom: means.count - 1)
    }

    /// The 97.5 % point of Student's distribution: tabled, then by its expansion in 1/ν (Abramowitz and Stegun 26.7.5),
    /// which is right to four digits there.
    package static func quantile(freedom: Int) -> Double {
      let table = [12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281]
      if freedom <= table.count { return table[Swift.max(freedom, 1) - 1] }
      let (z, n) = (1.959964, Double(freedom))
      let (z3, z5, z7) = (z * z * z, z * z * z * z * z, z * z * z * z * z * z * z)
      return z + (z3 + z) / (4 * n) + (5 * z5 + 16 * z3 + 3 * z) / (96 * n * n)
        + (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * n * n * n)
    }
  }

  package var tokens: Int
  package var windows: Int
  /// Mean negative log-likelihoods in nats.
  package var reference: Mean
  package var candidate: Mean
  /// Candidate minus reference, paired token by token.
  package var difference: Mean
  /// Kullback-Leibler divergence of the candidate's distribution from the reference's, in nats.
  package var divergence: Mean
  package var divergence99: Double
  /// Share of tokens for which both hold the same token most likely.
  package var agreement: Mean

  /// - Parameters:
  ///   - windows: of any lengths; each is computed alone, and all its tokens but the first are scored.
  ///   - progress: called after each step with the windows done; returning false stops, and what was done is compared.
  /// - Returns: nil when no token would be scored.
  /// - Precondition: equal vocabularies.
  package static func measure(
    _ windows: [[Int32]], reference: WindowScorer, candidate: WindowScorer, progress: (Int) -> Bool
  ) throws -> ModelComparison? {
    precondition(
      reference.vocabularySize == candidate.vocabularySize, "models with different vocabularies")
    let vocabulary = reference.vocabularySize
    var accumulator = Accumulator()
    var held: [Float] = []
    let step = min(reference.capacity, candidate.capacity)
    var done = 0
    while done < windows.count {
      let batch = Array(windows[done..<min(done + step, windows.count)])
      let starts = batch.indices.map { index in batch[..<index].reduce(0) { $0 + $1.count } }
      held.removeAll(keepingCapacity: true)
      held.reserveCapacity(batch.reduce(0) { $0 + $1.count } * vocabulary)
      try reference.logits(of: batch) { _, _, logits in
        for index in logits.indices { held.append(logits[index]) }
      }
      accumulator.begin(windows: batch.count)
      try candidate.logits(of: batch) { window, position, logits in
        guard position + 1 < batch[window].count else { return }
        let first = (starts[window] + position) * vocabulary
        let row = held.span.extracting(first..<first + vocabulary)
        accumulator.add(window, row, logits, next: Int(batch[window][position + 1]))
      }
      accumulator.end()
      done += batch.count
      if !progress(done) { break }
    }
    return accumulator.result
  }

  /// Sums of each window.
  private struct Accumulator {
    private var counts: [Int] = []
    private var reference: [Double] = []
    private var candidate: [Double] = []
    private var divergence: [Double] = []
    private var agreement: [Double] = []
    private var divergences: [Double] = []
    private var first = 0

    mutating func begin(windows: Int) {
      first = counts.count
      counts += Array(repeating: 0, count: windows)
      let zeros = Array(repeating: 0.0, count: windows)
      reference += zeros
      candidate += zeros
      divergence += zeros
      agreement += zeros
    }

    mutating func add(_ window: Int, _ p: Span<Float>, _ q: Span<Float>, next: Int) {
      let index = first + window
      let (topP, sumP) = Self.normaliser(p)
      let (topQ, sumQ) = Self.normaliser(q)
      let (logP, logQ) = (log(sumP), log(sumQ))
      var kl = 0.0
      for token in p.indices {
        let left = Double(p[token]) - Double(p[topP]) - logP
        let right = Double(q[token]) - Double(q[topQ]) - logQ
        kl += exp(left) * (left - right)
      }
      counts[index] += 1
      reference[index] += logP - (Double(p[next]) - Double(p[topP]))
      candidate[index] += logQ - (Double(q[next]) - Double(q[topQ]))
      // Rounding may leave a tiny negative number for equal distributions.
      divergence[index] += max(kl, 0)
      divergences.append(max(kl, 0))
      agreement[index] += topP == topQ ? 1 : 0
    }

    /// Drops windows without a scored token.
    mutating func end() {
      for index in counts.indices.reversed() where index >= first && counts[index] == 0 {
        counts.remove(at: index)
        reference.remove(at: index)
        candidate.remove(at: index)
        divergence.remove(at: index)
        agreement.remove(at: index)
      }
    }

    /// The place of the greatest logit, and the sum of all exponentials relative to it.
    private static func normaliser(_ logits: Span<Float>) -> (top: Int, sum: Double) {
      var top = 0
      for index in logits.indices where logits[index] > logits[top] { top = index }
      var sum = 0.0
      for index in logits.indices { sum += exp(Double(logits[index]) - Double(logits[top])) }
      return (top, sum)
    }

    var result: ModelComparison? {
      guard !divergences.isEmpty else { return nil }
      let sorted = divergences.sorted()
      return ModelComparison(
        tokens: sorted.count, windows: counts.count, reference: Mean(sums: reference, counts: counts),
        candidate: Mean(sums: candidate, counts: counts),
        difference: Mean(sums: zip(candidate, reference).map { $0 - $1 }, counts: counts),
        divergence: Mean(sums: divergence, counts: counts),
        divergence99: sorted[min(sorted.count - 1, Int(Double(sorted.count) * 0.99))],
        agreement: Mean(sums: agreement, counts: counts))
    }
  }

  package var json: JSONValue {
    func interval(_ mean: Mean, _ transform: (Double) -> Double = { $0 }) -> JSONValue {
      guard let margin = mean.margin else { return .null }
      return [.double(transform(mean.value - margin)), .double(transform(mean.value + margin))]
    }
    func mean(_ mean: Mean) -> JSONValue {
      [
        "value": .double(mean.value), "standard_error": mean.standardError.map { .double($0) } ?? .null,
        "interval_95": interval(mean),
      ]
    }
    return [
      "tokens": .integer(Int64(tokens)), "windows": .integer(Int64(windows)),
      "reference_perplexity": .double(exp(reference.value)), "perplexity": .double(exp(candidate.value)),
      "reference_perplexity_interval_95": interval(reference, exp),
      "perplexity_interval_95": interval(candidate, exp), "perplexity_ratio": .double(exp(difference.value)),
      "perplexity_ratio_interval_95": interval(difference, exp), "reference_nll": mean(reference),
      "nll": mean(candidate), "nll_difference": mean(difference), "kl_divergence": mean(divergence),
      "kl_divergence_99": .double(divergence99), "top1_agreement": mean(agreement),
    ]
  }
}
