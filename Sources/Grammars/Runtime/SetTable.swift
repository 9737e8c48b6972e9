/// Sequences of words, each once: equal ones have one number, from 0 in the order they came.
///
/// ```
/// items    a b │ c │ a c d │ …        sequence n is items[starts[n] ..< starts[n + 1]]
/// slots    2 · · 0 · 1 · ·            numbers by hash, half of them at most in use; the next free one is taken
/// ```
struct SetTable: Sendable {
  private(set) var items: [UInt64] = []
  private var starts: [Int] = [0]
  private var slots = [Int32](repeating: -1, count: 64)

  var count: Int { starts.count - 1 }

  @inline(__always) func range(_ number: Int) -> Range<Int> { starts[number]..<starts[number + 1] }

  mutating func number(_ set: [UInt64]) -> (number: Int, isNew: Bool) {
    var slot = Self.hash(set[...]) & (slots.count - 1)
    while slots[slot] >= 0 {
      if isEqual(range(Int(slots[slot])), set) { return (Int(slots[slot]), false) }
      slot = (slot + 1) & (slots.count - 1)
    }
    slots[slot] = Int32(count)
    items.append(contentsOf: set)
    starts.append(items.count)
    if 2 * count > slots.count { grow() }
    return (count - 1, true)
  }

  private func isEqual(_ range: Range<Int>, _ set: [UInt64]) -> Bool {
    if range.count != set.count { return false }
    for (offset, item) in set.enumerated() where items[range.lowerBound + offset] != item { return false }
    return true
  }

  private mutating func grow() {
    slots = Array(repeating: -1, count: 2 * slots.count)
    for number in 0..<count {
      var slot = Self.hash(items[range(number)]) & (slots.count - 1)
      while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
      slots[slot] = Int32(number)
    }
  }

  /// Multiplication by the golden ratio's fraction spreads the low bits upwards, the shift brings them back.
  private static func hash(_ set: ArraySlice<UInt64>) -> Int {
    var hash = UInt64(set.count)
    for item in set {
      hash = (hash ^ item) &* 0x9E37_79B9_7F4A_7C15
      hash ^= hash >> 29
    }
    return Int(truncatingIfNeeded: hash)
  }
}
