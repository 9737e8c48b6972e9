/// Tokens that close a JSON string, sorted by what they have behind the quote.
///
/// ```
/// token      characters   behind the quote
/// …es",          2              ,
/// ",             0              ,
/// …y":           1              :
/// ```
/// Whether one may come next depends on its number of characters, by the string's length, and on what is behind the
/// quote, by what follows the string. There are few of the latter: a walk over those takes the place of one over all
/// these tokens, and of a walk for each place in a string whose length is counted.
struct ClosingTokens: Sendable {
  struct Candidate {
    var token: Int32
    var characters: Int
    var tail: [UInt8]
  }

  /// Of the tails that are not empty, by their number.
  let tails: TokenTrie
  /// Where the tokens of each tail begin in `tokens`; one more at the end. The last tail is the empty one.
  private var starts: [Int32] = [0]
  /// `token << 8 | characters`
  private var tokens: [UInt64] = []
  /// Of any token.
  let mostCharacters: Int
  let emptyTail: Int

  init(_ candidates: [Candidate]) {
    mostCharacters = candidates.lazy.map(\.characters).max() ?? 0
    // The empty one last, and each other once, in order.
    let sorted = candidates.sorted { left, right in
      if left.tail.isEmpty != right.tail.isEmpty { return right.tail.isEmpty }
      return left.tail.lexicographicallyPrecedes(right.tail)
    }
    var texts = TokenTextTable()
    var last: [UInt8]?
    for candidate in sorted {
      if candidate.tail != last {
        if last != nil { starts.append(Int32(tokens.count)) }
        texts.append(candidate.tail)
        last = candidate.tail
      }
      tokens.append(UInt64(candidate.token) << 8 | UInt64(candidate.characters))
    }
    if last != nil { starts.append(Int32(tokens.count)) }
    let hasEmpty = last?.isEmpty ?? false
    emptyTail = hasEmpty ? texts.count - 1 : -1
    tails = TokenTrie((0..<Int32(hasEmpty ? texts.count - 1 : texts.count)).map { $0 }, texts: texts)
  }

  /// Sets the bits of a tail's tokens with such numbers of characters: bit `n` of `lengths`.
  @inline(__always)
  func add(_ tail: Int, lengths: UInt64, to words: UnsafeMutableBufferPointer<UInt32>) {
    for index in Int(starts[tail])..<Int(starts[tail + 1]) {
      let (token, characters) = (Int(tokens[index] >> 8), tokens[index] & 0xFF)
      if lengths >> characters & 1 != 0 {
        unsafe words[token >> 5] |= 1 << UInt32(truncatingIfNeeded: token & 31)
      }
    }
  }
}
