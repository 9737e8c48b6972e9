/// Tokens sorted by how many units of a kind they begin with, and by what they have behind those.
///
/// ```
/// token      units are characters of a JSON string     units are letters
/// …es",          2   ",                                    2   ",
/// name           4   (none)                                4   (none)
/// v1.get         6   (none)                                1   1.get
/// ```
/// Where all units are alike to a grammar, as in a string of up to 80 characters, whether a token may come next depends on
/// its number of units and on what is behind them only. Tokens that are nothing but units are ready masks by their number; of
/// the others a walk over their tails, of which there are far fewer, does for all of them, however often a grammar
/// counts the units.
struct TokenRuns: Sendable {
  struct Candidate {
    var token: Int32
    var units: Int
    /// In the bytes of all texts; empty for nothing but units.
    var tail: Range<Int>
  }
  /// The tails with one first byte.
  struct Head: Sendable {
    var byte: UInt8
    /// Of `tails`.
    var nodes: Range<Int>
  }

  /// Numbers of units are kept as bits of a word of 64. Longer runs are not sorted in here.
  static let mostUnits = 32

  /// `[mostUnits + 1][wordCount]`: tokens that are nothing but units, at most so many; rows that repeat the last are left out.
  private let whole: [UInt32]
  private let wordCount: Int
  /// Of any token.
  let longestRun: Int
  /// Each tail is one "token" of this trie.
  let tails: TokenTrie
  let heads: [Head]
  /// By node of `tails`: bit n when a token with that tail, or one below it, has n units in front.
  let lengthsBelow: [UInt64]
  /// Where the tokens of each tail begin in `tokens`; one more at the end.
  private let starts: [Int32]
  /// `token << 8 | units`
  private let tokens: [UInt64]

  /// - Parameters:
  ///   - bytes: of all texts.
  ///   - count: tokens of the vocabulary.
  init(_ candidates: [Candidate], bytes: [UInt8], count: Int) {
    wordCount = (count + 31) / 32
    longestRun = candidates.lazy.map(\.units).max() ?? 0
    whole = Self.wholeMasks(candidates, longestRun, wordCount)

    let sorted = Self.sortedByTail(candidates.filter { !$0.tail.isEmpty }, bytes)
    var texts = TokenTextTable()
    var lengths: [UInt64] = []
    var starts: [Int32] = []
    var tokens: [UInt64] = []
    tokens.reserveCapacity(sorted.count)
    var last: Range<Int>?
    for candidate in sorted {
      if last.map({ !Self.areEqual($0, candidate.tail, bytes) }) ?? true {
        starts.append(Int32(tokens.count))
        texts.append(bytes[candidate.tail])
        lengths.append(0)
        last = candidate.tail
      }
      lengths[lengths.count - 1] |= 1 << UInt64(candidate.units)
      tokens.append(UInt64(candidate.token) << 8 | UInt64(candidate.units))
    }
    starts.append(Int32(tokens.count))
    self.starts = starts
    self.tokens = tokens
    tails = TokenTrie((0..<Int32(texts.count)).map { $0 }, texts: texts)
    (heads, lengthsBelow) = Self.outline(tails, lengths)
  }

  private static func wholeMasks(_ candidates: [Candidate], _ longest: Int, _ wordCount: Int) -> [UInt32] {
    var masks = [UInt32](repeating: 0, count: wordCount * (longest + 1))
    for candidate in candidates where candidate.tail.isEmpty {
      masks[candidate.units * wordCount + Int(candidate.token) / 32] |= 1 << UInt32(candidate.token % 32)
    }
    for index in wordCount..<max(wordCount, masks.count) { masks[index] |= masks[index - wordCount] }
    return masks
  }

  private static func sortedByTail(_ candidates: [Candidate], _ bytes: [UInt8]) -> [Candidate] {
    // Eight bytes compare most of them at once.
    var keyed: [(key: UInt64, index: Int32)] = []
    keyed.reserveCapacity(candidates.count)
    for (index, candidate) in candidates.enumerated() {
      var key: UInt64 = 0
      for place in candidate.tail.prefix(8) { key = key << 8 | UInt64(bytes[place]) }
      keyed.append((key << UInt64(8 * max(0, 8 - candidate.tail.count)), Int32(index)))
    }
    keyed.sort { left, right in
      if left.key != right.key { return left.key < right.key }
      let (a, b) = (candidates[Int(left.index)].tail, candidates[Int(right.index)].tail)
      if a.count <= 8, b.count <= 8 { return a.count < b.count }
      return bytes[a].lexicographicallyPrecedes(bytes[b])
    }
    return keyed.map { candidates[Int($0.index)] }
  }

  private static func areEqual(_ a: Range<Int>, _ b: Range<Int>, _ bytes: [UInt8]) -> Bool {
    a.count == b.count && (a == b || bytes[a].elementsEqual(bytes[b]))
  }

  /// The first bytes of a trie, and the lengths of each node gathered from those below it.
  private static func outline(_ trie: TokenTrie, _ lengths: [UInt64]) -> ([Head], [UInt64]) {
    var heads: [Head] = []
    var below = [UInt64](repeating: 0, count: trie.nodes.count)
    var path: [Int] = []
    for (index, node) in trie.nodes.enumerated() {
      let depth = TokenTrie.depth(node)
      if depth == 1 { heads.append(Head(byte: TokenTrie.byte(node), nodes: index..<TokenTrie.skip(node))) }
      path.removeLast(path.count - (depth - 1))
      path.append(index)
      let tail = TokenTrie.token(node)
      if tail >= 0 { for place in path { below[place] |= lengths[tail] } }
    }
    return (heads, below)
  }

  /// Adds the tokens that are nothing but units, at most so many.
  func addWhole(units: Int, to words: inout [UInt32]) {
    let row = min(units, longestRun) * wordCount
    unsafe whole.withUnsafeBufferPointer { whole in
      unsafe words.withUnsafeMutableBufferPointer { words in
        for index in 0..<wordCount { unsafe words[index] |= whole[row + index] }
      }
    }
  }

  /// The same in place of what `words` held.
  func copyWhole(units: Int, to words: inout [UInt32]) {
    let row = min(units, longestRun) * wordCount
    unsafe whole.withUnsafeBufferPointer { whole in
      unsafe words.withUnsafeMutableBufferPointer { words in
        let part = unsafe UnsafeBufferPointer(rebasing: whole[row..<row + wordCount])
        _ = unsafe words.update(fromContentsOf: part)
      }
    }
  }

  /// Sets the bits of a tail's tokens with such numbers of units: bit `n` of `lengths`.
  @inline(__always)
  func add(_ tail: Int, lengths: UInt64, to words: UnsafeMutableBufferPointer<UInt32>) {
    for index in Int(starts[tail])..<Int(starts[tail + 1]) {
      let (token, units) = (Int(tokens[index] >> 8), tokens[index] & 0xFF)
      if lengths >> units & 1 != 0 {
        unsafe words[token >> 5] |= 1 << UInt32(truncatingIfNeeded: token & 31)
      }
    }
  }
}
