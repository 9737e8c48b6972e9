/// The race that draws one token: the largest `y + gumbel` wins. See `Sampler` for the scheme.
struct Race {
  let seed: UInt64
  let choice: UInt32
  let position: UInt32
  let temperature: Float

  /// The four random words of the ids `4·group ..< 4·group + 4`.
  @inline(__always)
  private func words(group: UInt32) -> Philox.Block {
    Philox.block(counter: Philox.Block(group, position, choice, 0), key: seed)
  }

  /// Runs the race over every token of the row with `x / temperature ≥ floor`.
  ///
  /// `favourite`, the most likely token, runs first: most of the others then cannot win whatever their noise
  /// (skipped before any random number is made) or by a look at their word's leading zeros (before any logarithm).
  func winner(ofRow row: UnsafeBufferPointer<Float>, floor: Float, favourite: Int32) -> Int32 {
    let first = UInt32(bitPattern: favourite)
    var winner = favourite
    var best =
      unsafe row[Int(favourite)] / temperature + PortableMath.gumbel(words(group: first >> 2)[first])
    let count = row.count
    var start = 0
    while start < count {
      let end = min(start &+ 4, count)
      var largest = unsafe row[start]
      var index = start &+ 1
      while index < end {
        let value = unsafe row[index]
        if value > largest { largest = value }
        index &+= 1
      }
      let y = largest / temperature
      if y >= floor && y + PortableMath.largestGumbel >= best {
        let block = words(group: UInt32(truncatingIfNeeded: start &>> 2))
        index = start
        while index < end {
          let y = unsafe row[index] / temperature
          let word = block[UInt32(truncatingIfNeeded: index)]
          if y >= floor && y + PortableMath.gumbelBound(word) >= best {
            let score = y + PortableMath.gumbel(word)
            let token = Int32(truncatingIfNeeded: index)
            if score > best || (score == best && token < winner) {
              best = score
              winner = token
            }
          }
          index &+= 1
        }
      }
      start &+= 4
    }
    return winner
  }

  /// Runs the race over candidates given by their keys.
  func winner(ofKeys keys: UnsafeBufferPointer<UInt64>) -> Int32 {
    var winner = Int32.max
    var best = -Float.infinity
    var index = 0
    while index < keys.count {
      let key = unsafe keys[index]
      let token = Candidate.token(key)
      let word = words(group: UInt32(bitPattern: token) >> 2)[UInt32(bitPattern: token)]
      let score = Candidate.logit(key) / temperature + PortableMath.gumbel(word)
      if score > best || (score == best && token < winner) {
        best = score
        winner = token
      }
      index &+= 1
    }
    return winner
  }
}

/// Candidates as 64-bit keys whose integer order is the order of the scheme.
///
/// ```
/// 63             32 31              0
/// | sortable logit |      ~id       |     larger key = larger logit, then lower id
/// ```
enum Candidate {
  @inline(__always)
  static func key(logit: Float, token: Int) -> UInt64 {
    UInt64(PortableMath.sortable(logit)) &<< 32 | UInt64(~UInt32(truncatingIfNeeded: token))
  }

  @inline(__always)
  static func token(_ key: UInt64) -> Int32 {
    Int32(bitPattern: ~UInt32(truncatingIfNeeded: key))
  }

  @inline(__always)
  static func logit(_ key: UInt64) -> Float {
    PortableMath.value(sortable: UInt32(truncatingIfNeeded: key &>> 32))
  }
}
