internal import Glibc

/// Whole-row passes over logits.
enum RowScan {
  struct Largest {
    var token: Int32
    var value: Float
  }

  /// The largest value and the lowest id that has it. NaN and +∞ are refused.
  ///
  /// Works on integers in the order of the floats: compilers turn integer minima and maxima into vector code,
  /// and NaN shows as a value beyond ±∞.
  static func largest(_ row: UnsafeBufferPointer<Float>) throws(SamplingFailure) -> Largest {
    let count = row.count
    var high = Int32.min
    var low = Int32.max
    var index = 0
    while index < count {
      let bits = unsafe Int32(bitPattern: row[index].bitPattern)
      let ordered = bits ^ ((bits &>> 31) & 0x7FFF_FFFF)
      if ordered > high { high = ordered }
      if ordered < low { low = ordered }
      index &+= 1
    }
    let positiveInfinity: Int32 = 0x7F80_0000
    let negativeInfinity = ~positiveInfinity
    if high >= positiveInfinity || low < negativeInfinity {
      let broken = unsafe row.firstIndex { $0.isNaN || $0 == .infinity } ?? 0
      throw .notFinite(token: Int32(truncatingIfNeeded: broken))
    }
    let best = Float(bitPattern: UInt32(bitPattern: high ^ ((high &>> 31) & 0x7FFF_FFFF)))
    index = 0
    while index < count, unsafe row[index] != best { index &+= 1 }
    return Largest(token: Int32(truncatingIfNeeded: index), value: best)
  }

  /// Tokens before this one in the sampler's order: larger ones, and equal ones with a lower id.
  static func countAhead(of token: Int, _ row: UnsafeBufferPointer<Float>) -> Int {
    let value = unsafe row[token]
    var count = 0
    var index = 0
    while index < token {
      if unsafe row[index] >= value { count &+= 1 }
      index &+= 1
    }
    index = token &+ 1
    while index < row.count {
      if unsafe row[index] > value { count &+= 1 }
      index &+= 1
    }
    return count
  }

  /// `ln Σ exp(x)`, in double precision around the largest value.
  static func logSumExp(_ row: UnsafeBufferPointer<Float>, largest: Float) -> Double {
    var sum = 0.0
    var index = 0
    while index < row.count {
      sum += Double(PortableMath.exp(unsafe row[index] - largest))
      index &+= 1
    }
    return Double(largest) + log(sum)
  }
}
