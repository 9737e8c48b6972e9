/// The merges of a byte-pair model: which token two neighbours become, and how urgently.
///
/// Open addressing over 16-byte slots, at most three quarters full.
struct MergeTable: Sendable {
  /// A merge as one number that compares by urgency: rank (less is more urgent) above the new token's id.
  typealias Merge = UInt64
  /// No merge; greater than every merge.
  static let none = Merge.max

  private struct Slot: Sendable {
    var key: UInt64
    var merge: Merge
  }

  private var slots: [Slot]
  private let seed = UInt64.random(in: .min ... .max) | 1
  private(set) var count = 0

  init(capacity: Int) {
    var size = 16
    while 3 * size < 4 * capacity { size *= 2 }
    slots = [Slot](repeating: Slot(key: Self.none, merge: Self.none), count: size)
  }

  static func merge(rank: Int, into id: Int32) -> Merge {
    UInt64(truncatingIfNeeded: rank) << 32 | UInt64(UInt32(bitPattern: id))
  }

  @inline(__always)
  static func id(of merge: Merge) -> Int32 { Int32(truncatingIfNeeded: merge) }

  @inline(__always)
  static func rank(of merge: Merge) -> UInt64 { merge >> 32 }

  @inline(__always)
  func merge(_ left: Int32, _ right: Int32) -> Merge {
    let key = Self.key(left, right)
    let slots = slots.span
    let mask = slots.count - 1
    var place = start(of: key) & mask
    while true {
      let slot = unsafe slots[unchecked: place]
      if slot.key == key { return slot.merge }
      if slot.key == Self.none { return Self.none }
      place = (place + 1) & mask
    }
  }

  /// Adds a merge, in place of an earlier one of the same pair. Ids are not negative.
  mutating func insert(_ left: Int32, _ right: Int32, _ merge: Merge) {
    if 4 * (count + 1) > 3 * slots.count { grow() }
    let key = Self.key(left, right)
    let mask = slots.count - 1
    var place = start(of: key) & mask
    while slots[place].key != key, slots[place].key != Self.none { place = (place + 1) & mask }
    if slots[place].key == Self.none { count += 1 }
    slots[place] = Slot(key: key, merge: merge)
  }

  @inline(__always)
  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  @inline(__always)
  private func start(of key: UInt64) -> Int {
    let product = (key ^ seed).multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
    return Int(truncatingIfNeeded: product.high ^ product.low)
  }

  private mutating func grow() {
    let old = slots
    slots = [Slot](repeating: Slot(key: Self.none, merge: Self.none), count: 2 * old.count)
    count = 0
    for slot in old where slot.key != Self.none {
      insert(Int32(truncatingIfNeeded: slot.key >> 32), Int32(truncatingIfNeeded: slot.key), slot.merge)
    }
  }
}
