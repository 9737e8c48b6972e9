import Generation

@testable import Generation

/// The sampling scheme written out plainly: full sorts, dense counts, every token in the race.
enum ReferenceSampler {
  struct History {
    var prompt: [Int32] = []
    var output: [Int32] = []
    var endTokens: [Int32] = []
    var minTokens = 0
  }

  static func constrained(_ logits: [Float], _ parameters: SamplingParameters, _ history: History) -> [Float]
  {
    var row = logits
    for token in row.indices {
      if let allowed = parameters.allowedTokens, !allowed.contains(Int32(token)) { row[token] = -.infinity }
      for word in parameters.badWords where word.last == Int32(token) {
        let prefix = Array(word.dropLast())
        if Array(history.output.suffix(prefix.count)) == prefix { row[token] = -.infinity }
      }
      if history.output.count < history.minTokens, history.endTokens.contains(Int32(token)) {
        row[token] = -.infinity
      }
      row[token] += parameters.logitBias[Int32(token)] ?? 0
      let generated = history.output.count { $0 == Int32(token) }
      if generated > 0 || history.prompt.contains(Int32(token)) {
        let penalty = parameters.repetitionPenalty
        row[token] = row[token] > 0 ? row[token] / penalty : row[token] * penalty
      }
      if generated > 0 {
        row[token] -= parameters.frequencyPenalty * Float(generated)
        row[token] -= parameters.presencePenalty
      }
    }
    return row
  }

  /// Candidates left by min_p, top_k and top_p, in order.
  static func candidates(_ row: [Float], _ parameters: SamplingParameters) -> [Int] {
    let y = row.map { $0 / parameters.temperature }
    let top = y.max() ?? 0
    var order = row.indices.filter { row[$0] > -.infinity }
    order.sort { row[$0] != row[$1] ? row[$0] > row[$1] : $0 < $1 }
    if parameters.minP > 0 { order = order.filter { y[$0] >= top + PortableMath.log(parameters.minP) } }
    if parameters.topK > 0 { order = Array(order.prefix(parameters.topK)) }
    if parameters.topP < 1 {
      let weights = order.map { PortableMath.weight(y[$0] - top) }
      let total = weights.reduce(0, +)
      let limit = max(1, UInt64((Double(parameters.topP) * Double(total)).rounded(.up)))
      var before: UInt64 = 0
      var kept: [Int] = []
      for (token, weight) in zip(order, weights) where before < limit {
        kept.append(token)
        before += weight
      }
      order = kept
    }
    return order
  }

  static func token(
    _ logits: [Float], _ parameters: SamplingParameters, _ history: History, seed: UInt64, choice: UInt32,
    position: Int
  ) -> Int32? {
    let row = constrained(logits, parameters, history)
    guard let top = row.max(), top > -.infinity else { return nil }
    if parameters.temperature < 1e-5 { return row.firstIndex(of: top).map(Int32.init) }
    let scores = candidates(row, parameters).sorted().map { token in
      let counter = Philox.Block(UInt32(token / 4), UInt32(position), choice, 0)
      let word = Philox.block(counter: counter, key: seed)[UInt32(token % 4)]
      return (token, row[token] / parameters.temperature + PortableMath.gumbel(word))
    }
    let best = scores.map(\.1).max()
    return scores.first { $0.1 == best }.map { Int32($0.0) }
  }
}

extension Sampler {
  /// For tests: rows as arrays.
  mutating func sample(
    _ logits: [Float], _ state: SamplingState, position: Int, mask: [UInt32]? = nil
  ) throws -> Int32 {
    try unsafe logits.withUnsafeBufferPointer { row in
      try unsafe sample(row, state, position: position, mask: mask)
    }
  }

  mutating func logprobs(_ logits: [Float], token: Int32, top: Int) throws -> TokenLogprobs {
    try unsafe logits.withUnsafeBufferPointer { row in
      try unsafe logprobs(row, token: token, top: top)
    }
  }
}
