/// Names one sequence (one choice of one request) for the life of the engine; never reused.
///
/// ```
/// | serial: 40 bits, counts up in arrival order | slot: 24 bits |
/// ```
/// The slot is where the scheduler keeps the sequence, so that finding it needs no table. It is dense over
/// the live sequences and is given to another one later; side tables indexed by it must compare the whole id.
package struct SequenceID: Hashable, Sendable, Comparable {
  package let rawValue: UInt64
  package init(rawValue: UInt64) { self.rawValue = rawValue }

  init(serial: UInt64, slot: Int) {
    precondition(serial < 1 << 40 && slot < 1 << 24, "more sequences than an id can name")
    rawValue = serial << 24 | UInt64(slot)
  }

  /// Arrival order: a sequence added later has a greater serial.
  package var serial: UInt64 { rawValue >> 24 }
  /// Index of the sequence among the live ones, 0 ..< 2²⁴.
  package var slot: Int { Int(rawValue & 0xFF_FFFF) }

  package static func < (left: SequenceID, right: SequenceID) -> Bool { left.rawValue < right.rawValue }
}
