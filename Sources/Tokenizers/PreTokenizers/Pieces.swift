/// A text being cut: a list of pieces of it, in order, not overlapping, none empty.
struct Pieces {
  /// The text that the ranges refer to, when a stage has rewritten it; else it is the text first given.
  var rewritten: [UInt8]?
  var ranges: [Range<Int>]
  /// Whether a piece at 0 stands at the beginning of the user's text.
  var beginsText: Bool

  init(count: Int, beginsText: Bool) {
    ranges = count > 0 ? [0..<count] : []
    self.beginsText = beginsText
  }

  /// Cuts every piece: `cut` is given a piece's text and appends the parts that stay.
  mutating func split(
    _ text: Span<UInt8>, _ cut: (Span<UInt8>, inout [Range<Int>]) throws(TokenizerError) -> Void
  ) throws(TokenizerError) {
    var result: [Range<Int>] = []
    result.reserveCapacity(ranges.count)
    var parts: [Range<Int>] = []
    for range in ranges {
      parts.removeAll(keepingCapacity: true)
      try cut(text.extracting(range), &parts)
      for part in parts where !part.isEmpty {
        result.append(part.lowerBound + range.lowerBound..<part.upperBound + range.lowerBound)
      }
    }
    ranges = result
  }

  /// Writes every piece anew: `write` is given a piece's text and whether it begins the user's text.
  mutating func rewrite(_ text: Span<UInt8>, _ write: (Span<UInt8>, Bool, inout [UInt8]) -> Void) {
    var result: [UInt8] = []
    result.reserveCapacity(text.count + ranges.count)
    var written: [Range<Int>] = []
    written.reserveCapacity(ranges.count)
    let firstBeginsText = beginsText && ranges.first?.lowerBound == 0
    for range in ranges {
      let start = result.count
      write(text.extracting(range), firstBeginsText && range.lowerBound == 0, &result)
      if result.count > start { written.append(start..<result.count) }
    }
    rewritten = result
    ranges = written
    beginsText = firstBeginsText
  }
}

/// What becomes of the parts of a text that a pattern matches (`behavior` in `tokenizer.json`).
enum SplitBehavior: String, CaseIterable, Sendable {
  case removed = "Removed"
  case isolated = "Isolated"
  case mergedWithPrevious = "MergedWithPrevious"
  case mergedWithNext = "MergedWithNext"
  case contiguous = "Contiguous"

  /// The parts to keep of a text of `count` bytes, given the matches in it from left to right.
  /// - Parameter inverted: what lies between the matches counts as match, and the reverse.
  func parts(count: Int, matches: [Range<Int>], inverted: Bool = false) -> [Range<Int>] {
    var parts: [Range<Int>] = []
    // A part held back until it is known whether the next one joins it.
    var pending: Range<Int>?
    var pendingIsMatch = false
    func keepPending() {
      if let pending, self != .removed || !pendingIsMatch { parts.append(pending) }
    }
    func add(_ part: Range<Int>, isMatch: Bool) {
      if let before = pending, joins(isMatch, to: pendingIsMatch) {
        pending = before.lowerBound..<part.upperBound
      } else {
        keepPending()
        pending = part
      }
      pendingIsMatch = isMatch
    }
    var place = 0
    for match in matches {
      if match.lowerBound > place { add(place..<match.lowerBound, isMatch: inverted) }
      add(match, isMatch: !inverted)
      place = match.upperBound
    }
    if place < count { add(place..<count, isMatch: inverted) }
    keepPending()
    return parts
  }

  private func joins(_ isMatch: Bool, to previousIsMatch: Bool) -> Bool {
    switch self {
    case .removed, .isolated: false
    case .mergedWithPrevious: isMatch && !previousIsMatch
    case .mergedWithNext: !isMatch && previousIsMatch
    case .contiguous: isMatch == previousIsMatch
    }
  }
}
