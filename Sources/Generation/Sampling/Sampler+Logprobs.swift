extension Sampler {
  /// Log-probabilities at one position, from the raw logits (before temperature, masks and penalties).
  ///
  /// Ranks and the order of `top` are the sampler's order: by logit, ties by lower id. A token's value is the
  /// same Float wherever it appears.
  /// - Parameters:
  ///   - token: the token that stands at this position.
  ///   - top: how many of the most likely tokens to report; more than the vocabulary means all.
  /// - Complexity: O(vocabulary + top · log top).
  package mutating func logprobs(
    _ logits: UnsafeBufferPointer<Float>, token: Int32, top: Int
  ) throws(SamplingFailure) -> TokenLogprobs {
    let largest = try unsafe RowScan.largest(logits).value
    if largest == -.infinity { throw .nothingAllowed }
    let normaliser = unsafe RowScan.logSumExp(logits, largest: largest)
    let logit = unsafe logits[Int(token)]
    let chosen = unsafe TokenLogprobs.Entry(
      token: token, logprob: Float(Double(logit) - normaliser),
      rank: RowScan.countAhead(of: Int(token), logits) + 1)
    let wanted = min(max(top, 0), logits.count)
    if wanted == 0 { return TokenLogprobs(chosen: chosen, top: []) }

    let found = unsafe selectTop(wanted, of: logits)
    let entries = (0..<found).map { index in
      let key = unsafe keys[index]
      return TokenLogprobs.Entry(
        token: Candidate.token(key), logprob: Float(Double(Candidate.logit(key)) - normaliser),
        rank: index + 1)
    }
    return TokenLogprobs(chosen: chosen, top: entries)
  }

  /// Puts the first `k` tokens of the row, −∞ included, into `keys` in order.
  private mutating func selectTop(_ k: Int, of logits: UnsafeBufferPointer<Float>) -> Int {
    var size = 0
    if k <= Self.heapLimit {
      size = unsafe selectByHeap(logits, k, floor: -.infinity, temperature: 1)
    }
    if size < k {
      size = logits.count
      for index in 0..<size {
        unsafe keys[index] = Candidate.key(logit: logits[index], token: index)
      }
      selectFirst(k, of: size)
    }
    var head = unsafe UnsafeMutableBufferPointer(rebasing: keys[..<k])
    unsafe head.sort(by: >)
    return k
  }
}
