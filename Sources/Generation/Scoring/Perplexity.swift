internal import Glibc

/// How surprised a model is by a text.
///
/// The text is cut into windows of `context` tokens, one every `stride` tokens; a last window that would be short is
/// left out. Each window is computed alone from position 0. Every token is scored at most once: the first window
/// scores all but its first token, a later one its last `stride` tokens (all but its first, when the windows do not
/// overlap). With stride = context this is the protocol of llama.cpp and of most papers' tables.
package struct Perplexity: Sendable, Equatable {
  /// Mean negative log-likelihood of the scored tokens, in nats.
  package var meanNegativeLogLikelihood: Double
  package var scoredTokens: Int
  package var windows: Int
  /// Mean over each window's scored tokens, in order.
  package var windowMeans: [Double]

  package var perplexity: Double { exp(meanNegativeLogLikelihood) }

  /// Standard error of the mean, from the spread of the window means; nil for fewer than two windows.
  package var standardError: Double? {
    guard windowMeans.count > 1 else { return nil }
    let mean = windowMeans.reduce(0, +) / Double(windowMeans.count)
    let squares = windowMeans.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    return (squares / Double(windowMeans.count - 1) / Double(windowMeans.count)).squareRoot()
  }

  /// - Parameters:
  ///   - progress: called after each step with the windows done and their total; returning false stops early, and
  ///     the result covers what was done.
  /// - Returns: nil when the text has fewer than `context` tokens, or no token would be scored.
  package static func measure(
    _ tokens: [Int32], with scorer: WindowScorer, context: Int, stride: Int, progress: (Int, Int) -> Bool
  ) throws -> Perplexity? {
    precondition(
      context >= 2 && stride >= 1 && stride <= context, "a window of at least 2, and 1 <= stride <= context")
    let starts = Array(Swift.stride(from: 0, through: tokens.count - context, by: stride))
    guard !starts.isEmpty else { return nil }
    var sums = Array(repeating: 0.0, count: starts.count)
    var counts = Array(repeating: 0, count: starts.count)
    var done = 0
    while done < starts.count {
      let batch = starts[done..<min(done + scorer.capacity, starts.count)]
      try scorer.logits(of: batch.map { tokens[$0..<$0 + context] }) { window, position, logits in
        let index = done + window
        let firstScored = index == 0 ? 1 : max(1, context - stride)
        guard position + 1 >= firstScored, position + 1 < context else { return }
        sums[index] += negativeLogLikelihood(of: tokens[starts[index] + position + 1], in: logits)
        counts[index] += 1
      }
      done += batch.count
      if !progress(done, starts.count) { break }
    }
    let scored = counts.reduce(0, +)
    guard scored > 0 else { return nil }
    return Perplexity(
      meanNegativeLogLikelihood: sums.reduce(0, +) / Double(scored), scoredTokens: scored, windows: done,
      windowMeans: zip(sums, counts).prefix(done).map { $0 / Double(max($1, 1)) })
  }

  /// `log Σ exp(l) − l[token]`, in double precision.
  package static func negativeLogLikelihood(of token: Int32, in logits: Span<Float>) -> Double {
    var greatest = -Float.infinity
    for index in logits.indices { greatest = max(greatest, logits[index]) }
    var sum = 0.0
    for index in logits.indices { sum += exp(Double(logits[index] - greatest)) }
    return log(sum) - Double(logits[Int(token)] - greatest)
  }
}
