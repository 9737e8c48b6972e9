/// A set of Unicode scalars as sorted ranges that neither overlap nor touch.
struct CodePointSet: Sendable, Equatable {
  private(set) var ranges: [ClosedRange<UInt32>] = []

  init() {}

  init(_ ranges: [ClosedRange<UInt32>]) {
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = self.ranges.last, range.lowerBound <= last.upperBound &+ 1 {
        self.ranges[self.ranges.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
      } else {
        self.ranges.append(range)
      }
    }
  }

  init(_ scalar: UInt32) { ranges = [scalar...scalar] }

  var isEmpty: Bool { ranges.isEmpty }

  func union(_ other: CodePointSet) -> CodePointSet { CodePointSet(ranges + other.ranges) }

  /// All scalars that are not in the set; surrogates are no scalars.
  var complement: CodePointSet {
    var result: [ClosedRange<UInt32>] = []
    var next: UInt32 = 0
    for range in ranges {
      if range.lowerBound > next { result.append(next...(range.lowerBound - 1)) }
      next = range.upperBound + 1
    }
    if next <= 0x10FFFF { result.append(next...0x10FFFF) }
    return CodePointSet(result).withoutSurrogates
  }

  func subtracting(_ other: CodePointSet) -> CodePointSet { other.union(complement).complement }

  private var withoutSurrogates: CodePointSet {
    var result: [ClosedRange<UInt32>] = []
    for range in ranges {
      if range.lowerBound < 0xD800 { result.append(range.lowerBound...min(range.upperBound, 0xD7FF)) }
      if range.upperBound > 0xDFFF { result.append(max(range.lowerBound, 0xE000)...range.upperBound) }
    }
    return CodePointSet(result)
  }

  static let all = CodePointSet([0...0x10FFFF]).withoutSurrogates

  /// The UTF-8 of the set: sequences of byte ranges, none of which is longer than four.
  ///
  /// A range of scalars is cut until each piece is a product of byte ranges: where the leading bits of its ends
  /// differ, the bits below must run over all values.
  var utf8: [[ClosedRange<UInt8>]] {
    var sequences: [[ClosedRange<UInt8>]] = []
    for range in withoutSurrogates.ranges {
      Self.cut(range.lowerBound, range.upperBound, into: &sequences)
    }
    return sequences
  }

  private static func cut(_ low: UInt32, _ high: UInt32, into sequences: inout [[ClosedRange<UInt8>]]) {
    for limit: UInt32 in [0x7F, 0x7FF, 0xFFFF] where low <= limit && high > limit {
      cut(low, limit, into: &sequences)
      cut(limit + 1, high, into: &sequences)
      return
    }
    if high <= 0x7F {
      sequences.append([UInt8(low)...UInt8(high)])
      return
    }
    for trailing in 1..<utf8Count(high) {
      let mask = (UInt32(1) << UInt32(6 * trailing)) - 1
      if low & ~mask == high & ~mask { continue }
      if low & mask != 0 {
        cut(low, low | mask, into: &sequences)
        cut((low | mask) + 1, high, into: &sequences)
        return
      }
      if high & mask != mask {
        cut(low, (high & ~mask) - 1, into: &sequences)
        cut(high & ~mask, high, into: &sequences)
        return
      }
    }
    sequences.append(zip(bytes(low), bytes(high)).map { $0...$1 })
  }

  private static func utf8Count(_ scalar: UInt32) -> Int { scalar <= 0x7FF ? 2 : scalar <= 0xFFFF ? 3 : 4 }

  /// UTF-8 of a scalar above 0x7F.
  private static func bytes(_ scalar: UInt32) -> [UInt8] {
    let tail = { (shift: UInt32) in UInt8(0x80 | (scalar >> shift) & 0x3F) }
    return switch utf8Count(scalar) {
    case 2: [UInt8(0xC0 | scalar >> 6), tail(0)]
    case 3: [UInt8(0xE0 | scalar >> 12), tail(6), tail(0)]
    default: [UInt8(0xF0 | scalar >> 18), tail(12), tail(6), tail(0)]
    }
  }
}
