package import Grammars

/// Chooses tokens from logits; a pure function of the row, the settings and history, the seed and the position.
///
/// The definition, which every backend must reproduce bit for bit on equal logits:
///
/// 1. **Mask and shift** (`applyConstraints`), on a copy of the row, in vLLM's order: grammar, allowed tokens, bad words,
///    end tokens before `minTokens`, logit bias; then repetition, frequency and presence penalty.
/// 2. **Greedy**, with a temperature below 1e-5: the largest logit, ties to the lowest id.
/// 3. **Order**: candidates are ordered by logit, ties by lower id first. `y = x / temperature`.
/// 4. **min_p** keeps `y ≥ y_max + log(min_p)`.
/// 5. **top_k** keeps the first k of what is left. (Exactly k: vLLM keeps all that tie with the k-th.)
/// 6. **top_p** keeps the candidates before which less than `top_p` of the mass lies. Masses are integers,
///    `weight(y − y_max)`, so that their sums do not depend on order; the limit is
///    `max(1, ⌈Double(top_p) · Double(total)⌉)`.
/// 7. **Race**: the token is the largest `y + gumbel(word)` of those kept, ties to the lowest id, where the
///    `word` of token id `i` at absolute position `t` (index of the new token in prompt and output) is word
///    `i & 3` of `Philox.block(counter: (i >> 2, t, choice, 0), key: seed)`.
///
/// The race draws `i` with probability `exp(y_i) / Σ exp(y)`, exactly as an exponential race `argmax(p_i / E_i)`
/// does, needs no normalisation, and is a maximum: any order of reduction gives the same token. Functions and
/// rounding are those of `PortableMath`. The fourth counter word is a stream number; streams other than 0 are for
/// other uses of randomness at the same position.
///
/// The workspace is allocated once: choosing a token allocates nothing. One thread at a time.
@safe
package struct Sampler: ~Copyable {
  package let vocabularySize: Int
  /// `[vocabularySize]`: the row after masks and penalties.
  let scratch: UnsafeMutableBufferPointer<Float>
  /// `[vocabularySize]`: candidates as `sortable(logit) << 32 | ~id`; a larger key comes earlier in the order.
  let keys: UnsafeMutableBufferPointer<UInt64>
  /// `[vocabularySize]`: `weight(y − y_max)` of the candidate at the same index.
  let weights: UnsafeMutableBufferPointer<UInt64>

  package init(vocabularySize: Int) {
    self.vocabularySize = vocabularySize
    unsafe scratch = .allocate(capacity: vocabularySize)
    unsafe keys = .allocate(capacity: vocabularySize)
    unsafe weights = .allocate(capacity: vocabularySize)
    unsafe scratch.initialize(repeating: 0)
    unsafe keys.initialize(repeating: 0)
    unsafe weights.initialize(repeating: 0)
  }

  deinit {
    unsafe scratch.deallocate()
    unsafe keys.deallocate()
    unsafe weights.deallocate()
  }

  /// The token at `position` (its index in prompt and output together).
  /// - Parameters:
  ///   - logits: `[vocabularySize]` raw logits; not changed.
  ///   - mask: only tokens whose bit is set may be sampled: bit `id % 32` of word `id / 32`.
  /// - Complexity: O(vocabulary), without a full sort.
  package mutating func sample(
    _ logits: UnsafeBufferPointer<Float>, _ state: SamplingState, position: Int, mask: [UInt32]? = nil
  ) throws(SamplingFailure) -> Int32 {
    let count = logits.count
    precondition(count > 0 && count <= vocabularySize, "a row of logits has \(vocabularySize) values")
    var row = unsafe logits
    var best = try unsafe RowScan.largest(row)
    if state.changesLogits || mask != nil {
      unsafe applyConstraints(state, logits, mask)
      unsafe row = UnsafeBufferPointer(rebasing: scratch[..<count])
      best = try unsafe RowScan.largest(row)
    }
    if best.value == -.infinity { throw .nothingAllowed }
    if state.isGreedy { return best.token }
    return try unsafe draw(row, state, best, position: position)
  }

  /// Steps 3 to 7, on a row that went through the first.
  private mutating func draw(
    _ row: UnsafeBufferPointer<Float>, _ state: SamplingState, _ best: RowScan.Largest, position: Int
  ) throws(SamplingFailure) -> Int32 {
    let parameters = state.parameters
    let temperature = parameters.temperature
    let top = best.value / temperature
    if !top.isFinite { throw .notFinite(token: best.token) }

    let floor =
      parameters.minP > 0
      ? top + PortableMath.log(max(parameters.minP, .leastNormalMagnitude)) : -.infinity
    let limitsCount = parameters.topK > 0 && parameters.topK < row.count
    let race = Race(
      seed: state.seed, choice: state.choice, position: UInt32(truncatingIfNeeded: position),
      temperature: temperature)
    if !limitsCount && parameters.topP >= 1 {
      return unsafe race.winner(ofRow: row, floor: floor, favourite: best.token)
    }
    var kept: Int
    if limitsCount {
      kept = unsafe select(parameters.topK, row, floor: floor, temperature: temperature)
      if parameters.topP < 1 {
        let total = weigh(kept, top: top, temperature: temperature)
        kept = selectMass(Self.limit(parameters.topP, of: total), of: kept)
      }
    } else {
      kept = unsafe selectNucleus(row, parameters.topP, floor: floor, top: top, temperature: temperature)
    }
    return unsafe race.winner(ofKeys: UnsafeBufferPointer(rebasing: keys[..<kept]))
  }

  /// Up to this `k` a heap of k keys beats collecting and partitioning the vocabulary.
  static let heapLimit = 256
}

/// Why no token could be chosen. The request ends as failed; the others go on.
package enum SamplingFailure: Error, Sendable, Equatable {
  /// A logit is NaN or +∞: the computation before it went wrong.
  case notFinite(token: Int32)
  /// Masks left no token.
  case nothingAllowed
  /// The grammar could not be followed.
  case grammar(GrammarFailure)
}

extension SamplingFailure: CustomStringConvertible {
  package var description: String {
    switch self {
    case .notFinite(let token):
      "the model's logits are not finite (token \(token)); the computation went wrong, run `gpuinfer verify`"
    case .nothingAllowed:
      """
      no token may be sampled: the grammar, allowed_token_ids, bad_words, min_tokens and logit_bias exclude every token
      """
    case .grammar(let failure): "\(failure)"
    }
  }
}
