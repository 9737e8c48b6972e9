/// Working memory of one encoding, kept between calls so that a short text allocates nothing.
struct EncodeScratch: Sendable {
  var cache = PieceCache()
  /// What is known of each token: whether its own text is encoded as just this token.
  var wholeTokens: [UInt8] = []
  /// The symbols of the piece in hand, and the merge of each with its right neighbour.
  var symbols: [Int32] = []
  var merges: [MergeTable.Merge] = []
  /// For long pieces: neighbours by place, and places to merge, the most urgent first.
  var previous: [Int32] = []
  var next: [Int32] = []
  var heap = MergeQueue()
  /// Spelling of a symbol with its prefix or suffix.
  var spelling: [UInt8] = []
  /// For Viterbi: the best way to each byte.
  var lattice: [UnigramModel.Step] = []

  /// Gives back what one huge text made it take.
  mutating func shrink() {
    if symbols.capacity > Self.keptSymbols { symbols = [] }
    if merges.capacity > Self.keptSymbols { merges = [] }
    if previous.capacity > Self.keptSymbols { previous = [] }
    if next.capacity > Self.keptSymbols { next = [] }
    if lattice.capacity > Self.keptSymbols { lattice = [] }
    heap.shrink(to: Self.keptSymbols)
  }

  private static let keptSymbols = 1 << 14
}

/// A binary heap of merges by (rank, place), the least on top.
struct MergeQueue: Sendable {
  private var entries: [UInt64] = []

  var isEmpty: Bool { entries.isEmpty }

  mutating func removeAll() { entries.removeAll(keepingCapacity: true) }

  mutating func shrink(to capacity: Int) {
    if entries.capacity > capacity { entries = [] }
  }

  mutating func push(rank: UInt64, place: Int) {
    let entry = rank << 32 | UInt64(place)
    var child = entries.count
    entries.append(entry)
    while child > 0 {
      let parent = (child - 1) / 2
      if entries[parent] <= entry { break }
      entries[child] = entries[parent]
      child = parent
    }
    entries[child] = entry
  }

  mutating func pop() -> (rank: UInt64, place: Int)? {
    guard let top = entries.first, let last = entries.popLast() else { return nil }
    let count = entries.count
    if count > 0 {
      var hole = 0
      while true {
        var child = 2 * hole + 1
        if child >= count { break }
        if child + 1 < count, entries[child + 1] < entries[child] { child += 1 }
        if entries[child] >= last { break }
        entries[hole] = entries[child]
        hole = child
      }
      entries[hole] = last
    }
    return (top >> 32, Int(top & 0xFFFF_FFFF))
  }
}
