/// What masks need of a tokenizer: made once, shared by all grammars.
///
/// Inside a JSON string most of a vocabulary is allowed, whatever the grammar. Tokens are therefore sorted once into
/// those that stay inside a string they are put into, by how many characters of it they begin, those that close it, by
/// how many they end, and those that can't stand there at all. Where a grammar takes any letters they are sorted by
/// those (`LetterRuns`).
package final class GrammarVocabulary: Sendable {
  /// Tokens, also those without a text.
  package let count: Int
  /// Words of 32 bits in a mask.
  package var wordCount: Int { (count + 31) / 32 }
  let usualTokens: @Sendable ([UInt8]) -> [Int32]
  let texts: TokenTextTable
  let all: TokenTrie
  /// Of `all`: the tokens that begin with a space.
  let spaced: Range<Int>
  /// By characters of a JSON string: tokens that stay inside one, and those that close it, their tail being the quote
  /// and what is behind it.
  let characters: TokenRuns
  /// Tokens that are too rare or too long for `characters`.
  let leaving: TokenTrie
  /// Larger classes of letters first.
  let letters: [LetterRuns]

  /// - Parameters:
  ///   - count: width of a row of logits.
  ///   - text: the bytes a token adds to a text; nil for one that may not be in a text: special ones, and ids without
  ///     a token.
  ///   - usualTokens: the tokens that a text is usually made of.
  package init(
    count: Int, text: (Int32) -> [UInt8]?,
    usualTokens: @escaping @Sendable ([UInt8]) -> [Int32] = { _ in [] }
  ) {
    self.count = count
    self.usualTokens = usualTokens
    var texts = TokenTextTable()
    var tokens: [Int32] = []
    tokens.reserveCapacity(count)
    var leaving: [Int32] = []
    var characters: [TokenRuns.Candidate] = []
    for token in 0..<Int32(count) {
      let bytes = text(token) ?? []
      texts.append(bytes)
      if bytes.isEmpty || bytes.count > TokenTrie.longestToken { continue }
      tokens.append(token)
      let range = texts.range(token)
      switch StringScan(bytes) {
      case .inside(let begun) where begun <= TokenRuns.mostUnits:
        characters.append(.init(token: token, units: begun, tail: range.upperBound..<range.upperBound))
      case .closes(let begun, let quote) where begun <= TokenRuns.mostUnits:
        let tail = range.lowerBound + quote..<range.upperBound
        characters.append(.init(token: token, units: begun, tail: tail))
      case .inside, .closes, .leaves: leaving.append(token)
      case .impossible: break
      }
    }
    tokens.sort { texts.precedes($0, $1) }
    leaving.sort { texts.precedes($0, $1) }
    self.texts = texts
    all = TokenTrie(tokens, texts: texts)
    spaced = all.nodes(from: LetterRuns.space)
    self.leaving = TokenTrie(leaving, texts: texts)
    self.characters = TokenRuns(characters, bytes: texts.bytes, count: count)
    let all = all
    letters = LetterRuns.classes.map { LetterRuns(of: $0, tokens, texts, all) }
  }
}

/// What a token is inside a JSON string, behind a whole character: `JSONPieces.character` by hand, for speed.
enum StringScan: Equatable {
  /// It stays inside and begins so many characters; the last one may be incomplete.
  case inside(Int)
  /// Behind so many whole characters it closes the string, with this byte.
  case closes(Int, at: Int)
  /// It holds the rare `\u`: to be followed byte by byte.
  case leaves
  /// Some byte of it can't stand in a string.
  case impossible

  init(_ bytes: [UInt8]) {
    var count = 0
    var index = 0
    while index < bytes.count {
      count += 1
      let byte = bytes[index]
      index += 1
      switch byte {
      case 0x20...0x21, 0x23...0x5B, 0x5D...0x7F: break
      case 0x22:
        self = .closes(count - 1, at: index - 1)
        return
      case 0x5C:
        guard index < bytes.count else { break }
        if !Self.escaped.contains(bytes[index]) {
          self = bytes[index] == UInt8(ascii: "u") ? .leaves : .impossible
          return
        }
        index += 1
      default:
        guard Self.tail(of: byte, bytes, &index) else {
          self = .impossible
          return
        }
      }
    }
    self = .inside(count)
  }

  /// What may follow a backslash, but for `u`.
  private static let escaped = Array("\"\\/bfnrt".utf8)

  /// The bytes behind the first one of a scalar above 0x7F, as far as they are there.
  private static func tail(of lead: UInt8, _ bytes: [UInt8], _ index: inout Int) -> Bool {
    let (length, first): (Int, ClosedRange<UInt8>)
    switch lead {
    case 0xC2...0xDF: (length, first) = (1, 0x80...0xBF)
    case 0xE0: (length, first) = (2, 0xA0...0xBF)
    case 0xED: (length, first) = (2, 0x80...0x9F)
    case 0xE1...0xEF: (length, first) = (2, 0x80...0xBF)
    case 0xF0: (length, first) = (3, 0x90...0xBF)
    case 0xF1...0xF3: (length, first) = (3, 0x80...0xBF)
    case 0xF4: (length, first) = (3, 0x80...0x8F)
    default: return false
    }
    for place in 0..<length {
      guard index < bytes.count else { return true }
      if !(place == 0 ? first : 0x80...0xBF).contains(bytes[index]) { return false }
      index += 1
    }
    return true
  }
}
