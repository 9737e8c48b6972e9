/// A vocabulary's tokens as runs of the bytes of one class, such as letters: for the places of a grammar that take any of
/// them, as in names, words, addresses and paths. Nearly half of a usual vocabulary is letters behind a space, and a
/// good part letters without one.
///
/// ```
/// plain          name   v1   …        runs at the start of a token
/// spaced         ␣the   ␣v1  …        runs behind its space
/// others         (x   42   …          parts of the trie of all tokens: no letter at the start,
/// spacedOthers   ␣(   ␣42  …          none behind the space
/// rest           longer runs          walked like any others
/// ```
struct LetterRuns: Sendable {
  /// The bytes of the class.
  let letters: [UInt8]
  let plain: TokenRuns
  let spaced: TokenRuns
  /// Of the nodes of all tokens, those below a space left out.
  let others: [Range<Int>]
  let spacedOthers: [Range<Int>]
  let rest: TokenTrie

  static let space = UInt8(ascii: " ")

  /// - Parameters:
  ///   - tokens: sorted by their bytes; none is empty.
  ///   - all: their trie.
  init(of letters: [UInt8], _ tokens: [Int32], _ texts: TokenTextTable, _ all: TokenTrie) {
    self.letters = letters
    var isLetter = [Bool](repeating: false, count: 256)
    for letter in letters { isLetter[Int(letter)] = true }
    var (plain, spaced, rest): ([TokenRuns.Candidate], [TokenRuns.Candidate], [Int32]) = ([], [], [])
    for token in tokens {
      let text = texts.range(token)
      let isSpaced = texts.bytes[text.lowerBound] == Self.space
      let start = text.lowerBound + (isSpaced ? 1 : 0)
      var end = start
      while end < text.upperBound, isLetter[Int(texts.bytes[end])] { end += 1 }
      if end == start { continue }
      if end - start > TokenRuns.mostUnits {
        rest.append(token)
        continue
      }
      let candidate = TokenRuns.Candidate(token: token, units: end - start, tail: end..<text.upperBound)
      if isSpaced { spaced.append(candidate) } else { plain.append(candidate) }
    }
    self.plain = TokenRuns(plain, bytes: texts.bytes, count: texts.count)
    self.spaced = TokenRuns(spaced, bytes: texts.bytes, count: texts.count)
    self.rest = TokenTrie(rest, texts: texts)
    others = Self.parts(of: all, 0..<all.nodes.count) { !isLetter[Int($0)] && $0 != Self.space }
    let below = all.nodes(from: Self.space).dropFirst()
    spacedOthers = Self.parts(of: all, below) { !isLetter[Int($0)] }
  }

  /// The parts of a range of nodes whose topmost bytes are wanted; neighbours are one.
  private static func parts(
    of trie: TokenTrie, _ nodes: Range<Int>, where isWanted: (UInt8) -> Bool
  ) -> [Range<Int>] {
    var parts: [Range<Int>] = []
    var index = nodes.lowerBound
    while index < nodes.upperBound {
      let end = TokenTrie.skip(trie.nodes[index])
      if isWanted(TokenTrie.byte(trie.nodes[index])) {
        if parts.last?.upperBound == index {
          parts[parts.count - 1] = parts[parts.count - 1].lowerBound..<end
        } else {
          parts.append(index..<end)
        }
      }
      index = end
    }
    return parts
  }

  /// A place is asked for the largest class first, as that leaves the fewest other tokens.
  ///
  /// - what RFC 3986 leaves unreserved, as in paths;
  /// - names with hyphens, as in front of the @ of an address;
  /// - letters and digits, as in the labels of a host's name;
  /// - letters, as at the start of a name;
  /// - small letters.
  static let classes: [[UInt8]] = {
    let small = Array(UInt8(ascii: "a")...UInt8(ascii: "z"))
    let letters = Array(UInt8(ascii: "A")...UInt8(ascii: "Z")) + small
    let alphanumeric = Array(UInt8(ascii: "0")...UInt8(ascii: "9")) + letters
    let names = alphanumeric + Array("_-".utf8)
    return [names + Array(".~".utf8), names, alphanumeric, letters, small]
  }()
}
