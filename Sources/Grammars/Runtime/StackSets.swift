/// Sets of return stacks, each set once.
///
/// Where a grammar leaves open which of its rules a text is in, the automaton is in many states at once, each with
/// its own stack of places to return to. A set is a map from the place on top to the set of stacks below it, so stacks
/// that are alike share what they have in common, and equal sets have one number:
///
/// ```
/// {b c, b d, e c}     b ─▶ {c, d}
///                     e ─▶ {c}
/// ```
struct StackSets: Sendable {
  /// The set with the empty stack only.
  static let bottom: UInt32 = 0
  /// Stands in `bottom` for "the text is over".
  static let over = UInt32.max

  /// Each `place << 32 | stacks below`, by place; places differ.
  private var sets = SetTable()
  private(set) var depths: [Int32] = []
  private var unions: [UInt64: UInt32] = [:]

  @inline(__always) static func place(_ member: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: member >> 32) }
  @inline(__always) static func below(_ member: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: member) }
  @inline(__always) static func member(_ place: UInt32, _ below: UInt32) -> UInt64 {
    UInt64(place) << 32 | UInt64(below)
  }

  init() { _ = number([Self.member(Self.over, Self.bottom)]) }

  var count: Int { sets.count }

  /// Of `items`.
  @inline(__always) func members(_ set: UInt32) -> Range<Int> { sets.range(Int(set)) }
  var items: [UInt64] { @inline(__always) get { sets.items } }

  /// - Parameter set: sorted, places differ.
  mutating func number(_ set: [UInt64]) -> UInt32 {
    let (number, isNew) = sets.number(set)
    if isNew {
      var depth: Int32 = 0
      for member in set where Self.place(member) != Self.over {
        depth = max(depth, depths[Int(Self.below(member))] + 1)
      }
      depths.append(depth)
    }
    return UInt32(number)
  }

  /// - Complexity: O(members), and once for each pair below; bounded by the depth of the stacks.
  mutating func union(_ a: UInt32, _ b: UInt32) -> UInt32 {
    if a == b { return a }
    let key = UInt64(min(a, b)) << 32 | UInt64(max(a, b))
    if let known = unions[key] { return known }
    let merged = merge(Array(sets.items[members(a)]), Array(sets.items[members(b)]))
    let result = number(merged)
    unions[key] = result
    return result
  }

  private mutating func merge(_ a: [UInt64], _ b: [UInt64]) -> [UInt64] {
    var result: [UInt64] = []
    result.reserveCapacity(a.count + b.count)
    var (i, j) = (0, 0)
    while i < a.count, j < b.count {
      let (left, right) = (Self.place(a[i]), Self.place(b[j]))
      if left < right {
        result.append(a[i])
        i += 1
      } else if right < left {
        result.append(b[j])
        j += 1
      } else {
        result.append(Self.member(left, union(Self.below(a[i]), Self.below(b[j]))))
        i += 1
        j += 1
      }
    }
    result.append(contentsOf: a[i...])
    result.append(contentsOf: b[j...])
    return result
  }
}
