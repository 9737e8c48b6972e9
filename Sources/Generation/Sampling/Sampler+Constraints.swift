extension Sampler {
  /// Writes the row into `scratch` with masks, biases and penalties applied.
  ///
  /// The order is vLLM's: grammar, allowed tokens, bad words, end tokens before `minTokens`, logit bias, repetition
  /// penalty, frequency penalty, presence penalty.
  mutating func applyConstraints(
    _ state: SamplingState, _ logits: UnsafeBufferPointer<Float>, _ allowed: [UInt32]? = nil
  ) {
    let row = unsafe UnsafeMutableBufferPointer(rebasing: scratch[..<logits.count])
    let parameters = state.parameters
    if let allowed = parameters.allowedTokens {
      unsafe row.update(repeating: -.infinity)
      for token in allowed where Int(token) < row.count {
        unsafe row[Int(token)] = logits[Int(token)]
      }
    } else {
      _ = unsafe row.update(fromContentsOf: logits)
    }
    if let allowed {
      var token = 0
      while token < row.count {
        let bits = token &>> 5 < allowed.count ? allowed[token &>> 5] : 0
        let end = min(row.count, token &+ 32)
        if bits == 0 {
          unsafe UnsafeMutableBufferPointer(rebasing: row[token..<end]).update(repeating: -.infinity)
        } else if bits != .max {
          for index in token..<end where bits &>> UInt32(truncatingIfNeeded: index & 31) & 1 == 0 {
            unsafe row[index] = -.infinity
          }
        }
        token = end
      }
    }
    for word in parameters.badWords where state.completes(word) {
      unsafe mask(word[word.count - 1], row)
    }
    if state.masksEnd {
      for token in state.endTokens { unsafe mask(token, row) }
    }
    for (token, bias) in parameters.logitBias where Int(token) < row.count {
      unsafe row[Int(token)] += bias
    }
    for (token, seen) in state.occurrences where Int(token) < row.count {
      var logit = unsafe row[Int(token)]
      logit = logit > 0 ? logit / parameters.repetitionPenalty : logit * parameters.repetitionPenalty
      if seen.inOutput > 0 {
        logit -= parameters.frequencyPenalty * Float(seen.inOutput)
        logit -= parameters.presencePenalty
      }
      unsafe row[Int(token)] = logit
    }
  }

  private func mask(_ token: Int32, _ row: UnsafeMutableBufferPointer<Float>) {
    if Int(token) < row.count { unsafe row[Int(token)] = -.infinity }
  }
}

extension SamplingState {
  /// The output so far ends with all of `word` but its last token.
  func completes(_ word: [Int32]) -> Bool {
    let prefix = word.count - 1
    guard tail.count >= prefix else { return false }
    let start = tail.count - prefix
    var index = 0
    while index < prefix {
      if tail[start + index] != word[index] { return false }
      index += 1
    }
    return true
  }
}
