/// Masks that have been worked out, as many as fit a bound; then all are forgotten.
struct MaskStore: Sendable {
  private enum Mask: Sendable {
    /// All words.
    case full([UInt32])
    /// Words that are not 0, as `place << 32 | word`.
    case sparse([UInt64])
  }
  private var masks: [LazyAutomaton.State: Mask] = [:]
  private var bytes = 0

  static let mostBytes = 8 << 20

  func read(_ state: LazyAutomaton.State, into words: inout [UInt32]) -> Bool {
    switch masks[state] {
    case nil: return false
    case .full(let mask):
      unsafe words.withUnsafeMutableBufferPointer { words in
        _ = unsafe words.update(fromContentsOf: mask)
      }
    case .sparse(let mask):
      unsafe words.withUnsafeMutableBufferPointer { unsafe $0.update(repeating: 0) }
      for entry in mask { words[Int(entry >> 32)] = UInt32(truncatingIfNeeded: entry) }
    }
    return true
  }

  mutating func write(_ state: LazyAutomaton.State, _ words: [UInt32]) {
    var filled = 0
    for word in words { filled += word == 0 ? 0 : 1 }
    let isSparse = filled * 4 < words.count
    let size = isSparse ? filled * 8 : words.count * 4
    if bytes + size > Self.mostBytes {
      masks.removeAll()
      bytes = 0
    }
    bytes += size
    if isSparse {
      var entries: [UInt64] = []
      entries.reserveCapacity(filled)
      for (place, word) in words.enumerated() where word != 0 {
        entries.append(UInt64(place) << 32 | UInt64(word))
      }
      masks[state] = .sparse(entries)
    } else {
      masks[state] = .full(words)
    }
  }
}
