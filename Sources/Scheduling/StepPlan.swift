/// Names one sequence (one choice of one request) for the life of the engine; never reused.
package struct SequenceID: Hashable, Sendable, Comparable {
  package let rawValue: UInt64
  package init(rawValue: UInt64) { self.rawValue = rawValue }
  package static func < (left: SequenceID, right: SequenceID) -> Bool { left.rawValue < right.rawValue }
}

/// One step's work, flattened in the order the kernels read it.
///
/// ```
/// sequences    |   A: 3 new tokens   | B: 1 | C: 1 |
/// tokens       |  t5    t6     t7    |  t9  |  t2  |      T = 5
/// positions    |   4     5      6    |  31  |   1  |
/// slots        |  68    69     70    | 111  |  33  |      block · 16 + position mod 16
/// queryStarts  0                     3      4      5      S + 1
/// contextLengths       7                32     2          keys in the cache after the step
/// blockTables  row s: the blocks of sequence s, padded with 0 to `blockTableStride`
/// logitRows    rows of the flattened tokens whose logits are wanted
/// ```
/// The arrays keep their capacity from step to step, so that planning allocates nothing once warm.
package struct StepPlan: Sendable {
  package struct Entry: Sendable {
    package var id: SequenceID
    /// First row of this sequence in `tokens`.
    package var tokenStart: Int
    package var tokenCount: Int
    /// Rows of the logits that belong to this sequence.
    package var logitRange: Range<Int>
    /// The step computes the sequence's last known token, so a new one is to be sampled from the last logits row.
    package var samples: Bool

    package init(
      id: SequenceID, tokenStart: Int, tokenCount: Int, logitRange: Range<Int>, samples: Bool
    ) {
      self.id = id
      self.tokenStart = tokenStart
      self.tokenCount = tokenCount
      self.logitRange = logitRange
      self.samples = samples
    }
  }

  package var entries: [Entry] = []
  package var tokens: [Int32] = []
  package var positions: [Int32] = []
  package var slots: [Int32] = []
  package var queryStarts: [Int32] = []
  package var contextLengths: [Int32] = []
  package var blockTables: [Int32] = []
  package var blockTableStride = 0
  package var logitRows: [Int32] = []

  package init() {}

  package var isEmpty: Bool { entries.isEmpty }

  package mutating func removeAll() {
    entries.removeAll(keepingCapacity: true)
    tokens.removeAll(keepingCapacity: true)
    positions.removeAll(keepingCapacity: true)
    slots.removeAll(keepingCapacity: true)
    queryStarts.removeAll(keepingCapacity: true)
    contextLengths.removeAll(keepingCapacity: true)
    blockTables.removeAll(keepingCapacity: true)
    logitRows.removeAll(keepingCapacity: true)
  }
}
