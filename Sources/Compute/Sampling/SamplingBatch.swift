/// The rows of one step's logits that a device is to sample, and how.
///
/// ```
/// rows    | logits row 3: T = 0.7, seed …, changes ┐ | row 4: greedy | …
/// edits   | 17: +2.5 | 9: −∞ |          ←──────────┤
/// seen    | 5: twice in the output | …  ←──────────┤
/// masks   | 1 bit a token |             ←──────────┘
/// ```
/// Filled anew for each step, without allocating. What the masks allow may become less after the step has been launched,
/// until it is sampled; nothing else changes.
package struct SamplingBatch: Sendable {
  package struct Row: Sendable, Equatable {
    /// Of the step's logits.
    package var row: Int32
    package var seed: UInt64
    package var choice: UInt32 = 0
    /// Of the new token, in prompt and output together.
    package var position: UInt32
    package var temperature: Float = 1
    package var topP: Float = 1
    package var minP: Float = 0
    package var topK: Int32 = 0
    /// nil leaves the logits as they are.
    package var changes: Changes?
    /// Most likely tokens to report beside the sampled one; nil reports no log-probabilities.
    package var alternatives: Int?

    package init(row: Int, seed: UInt64, position: Int) {
      self.row = Int32(truncatingIfNeeded: row)
      self.seed = seed
      self.position = UInt32(truncatingIfNeeded: position)
    }
  }

  /// In this order: mask, edits, then for each token seen, the fresh one too, repetition, frequency and presence penalty.
  package struct Changes: Sendable, Equatable {
    /// Of `masks`, in rows; −1 allows every token.
    package var mask = -1
    package var edits = 0..<0
    package var seen = 0..<0
    /// A token of the output that only the device knows, by its place among the step's tokens; it may be among those seen.
    package var fresh: Int?
    package var repetition: Float = 1
    package var frequency: Float = 0
    package var presence: Float = 0

    package init() {}
  }

  /// Added to a token's logit; −∞ excludes it. A row names a token once.
  package struct Edit: Sendable, Equatable {
    package var token: Int32
    package var addend: Float
  }

  /// A token of prompt or output; a row names it once.
  package struct SeenToken: Sendable, Equatable {
    package var token: Int32
    package var inOutput: Int32
  }

  package let capacity: SamplingCapacity
  package private(set) var rows: [Row] = []
  package private(set) var edits: [Edit] = []
  package private(set) var seen: [SeenToken] = []
  /// `[masks, capacity.maskWords]`
  package private(set) var masks: [UInt32] = []
  /// Rows that want log-probabilities, and the most alternatives that one of them wants.
  package private(set) var logprobRows = 0
  package private(set) var alternatives = 0
  package private(set) var changedRows = 0
  package private(set) var places: Places

  /// Which rows of the logits are here. Whoever asks for many takes it out: asking the batch copies that.
  package struct Places: Sendable {
    /// By row of the logits: its place in `rows`, or −1.
    fileprivate(set) var byRow: [Int32]

    /// The place in `rows`, and in the results, of a row of the logits; nil when the device does not sample it.
    package func callAsFunction(ofRow row: Int) -> Int? {
      guard row >= 0, row < byRow.count, byRow[row] >= 0 else { return nil }
      return Int(byRow[row])
    }
  }

  package init(_ capacity: SamplingCapacity) {
    self.capacity = capacity
    places = Places(byRow: Array(repeating: -1, count: capacity.rows))
    // A step allocates nothing.
    rows.reserveCapacity(capacity.rows)
    edits.reserveCapacity(capacity.edits)
    seen.reserveCapacity(capacity.seenTokens)
    masks.reserveCapacity(capacity.masks * capacity.maskWords)
  }

  package var isEmpty: Bool { rows.isEmpty }

  package mutating func removeAll() {
    for row in rows { places.byRow[Int(row.row)] = -1 }
    rows.removeAll(keepingCapacity: true)
    edits.removeAll(keepingCapacity: true)
    seen.removeAll(keepingCapacity: true)
    masks.removeAll(keepingCapacity: true)
    logprobRows = 0
    alternatives = 0
    changedRows = 0
  }

  /// Adds a row.
  ///
  /// - Parameter fill: adds what changes its logits; false gives up.
  /// - Returns: whether it fits. If not, nothing has been added.
  package mutating func add(
    _ row: Row, fill: (inout SamplingBatch, inout Changes) -> Bool
  ) -> Bool {
    guard hasRoom(for: row) else { return false }
    let (editCount, seenCount, maskCount) = (edits.count, seen.count, masks.count)
    var changes = Changes()
    guard fill(&self, &changes), edits.count <= capacity.edits, seen.count <= capacity.seenTokens else {
      edits.removeLast(edits.count - editCount)
      seen.removeLast(seen.count - seenCount)
      masks.removeLast(masks.count - maskCount)
      return false
    }
    changes.edits = editCount..<edits.count
    changes.seen = seenCount..<seen.count
    var row = row
    row.changes = changes
    append(row)
    return true
  }

  /// Adds a row whose logits stay as they are; the same otherwise.
  package mutating func add(_ row: Row) -> Bool {
    guard hasRoom(for: row) else { return false }
    append(row)
    return true
  }

  private func hasRoom(for row: Row) -> Bool {
    guard rows.count < capacity.rows, Int(row.row) < capacity.rows, row.row >= 0,
      places.byRow[Int(row.row)] < 0,
      capacity.vocabularySize < SamplingCapacity.vocabularyLimit
    else { return false }
    guard let wanted = row.alternatives else { return true }
    let most = max(alternatives, min(wanted, capacity.vocabularySize))
    return most <= Self.mostAlternatives && (logprobRows + 1) * most <= capacity.alternatives
  }

  private mutating func append(_ row: Row) {
    places.byRow[Int(row.row)] = Int32(rows.count)
    if row.changes != nil { changedRows += 1 }
    if let wanted = row.alternatives {
      logprobRows += 1
      alternatives = max(alternatives, min(wanted, capacity.vocabularySize))
    }
    rows.append(row)
  }

  /// Of one row, on any device.
  package static let mostAlternatives = 1024

  // MARK: While a row is filled

  package mutating func edit(_ token: Int32, by addend: Float) {
    edits.append(Edit(token: token, addend: addend))
  }

  package mutating func see(_ token: Int32, inOutput count: Int32) {
    seen.append(SeenToken(token: token, inOutput: count))
  }

  /// Adds a mask and gives its number; nil when there is no room for another.
  ///
  /// - Parameter words: `capacity.maskWords` of them; nil allows all, for a row that is restricted later.
  package mutating func mask(_ words: [UInt32]?) -> Int? {
    let number = masks.count / max(capacity.maskWords, 1)
    if number >= capacity.masks { return nil }
    if let words {
      precondition(words.count == capacity.maskWords, "a mask has a bit a token of the vocabulary")
      masks.append(contentsOf: words)
    } else {
      masks.append(contentsOf: repeatElement(.max, count: capacity.maskWords))
    }
    return number
  }

  // MARK: Until the batch is sampled

  /// Takes away from what a row may be given all that `words` does not allow.
  ///
  /// - Parameter row: of the logits; one that is here, and has a mask.
  package mutating func restrict(row: Int, to words: [UInt32]) {
    precondition(words.count == capacity.maskWords, "a mask has a bit a token of the vocabulary")
    guard let place = places(ofRow: row), let number = rows[place].changes?.mask, number >= 0 else {
      preconditionFailure("row \(row) was added without a mask")
    }
    let first = number * words.count
    for index in words.indices { masks[first + index] &= words[index] }
  }
}
