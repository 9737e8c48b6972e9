/// WordPiece as BERT uses it: at each place of a word the longest token that fits; a word that can't be
/// covered is one unknown token.
struct WordPieceModel: Sendable {
  let vocabulary: Vocabulary
  /// Marks a token that continues a word: "##".
  let prefix: [UInt8]
  let unknown: Int32
  let longestWord: Int

  /// Appends the tokens of one word.
  /// - Complexity: O(bytes of the word × bytes of the longest token).
  func encode(_ word: Span<UInt8>, _ scratch: inout EncodeScratch, into ids: inout [Int32]) {
    let before = ids.count
    if characterCount(word) > longestWord || !appendTokens(word, &scratch.spelling, to: &ids) {
      ids.removeLast(ids.count - before)
      ids.append(unknown)
    }
  }

  private func characterCount(_ word: Span<UInt8>) -> Int {
    var count = 0
    var place = 0
    while place < word.count {
      place += UTF8Scalar.decode(word, at: place).length
      count += 1
    }
    return count
  }

  private func appendTokens(_ word: Span<UInt8>, _ spelling: inout [UInt8], to ids: inout [Int32]) -> Bool {
    var start = 0
    while start < word.count {
      guard let (id, end) = longestToken(word, from: start, &spelling) else { return false }
      ids.append(id)
      start = end
    }
    return true
  }

  private func longestToken(
    _ word: Span<UInt8>, from start: Int, _ spelling: inout [UInt8]
  ) -> (id: Int32, end: Int)? {
    spelling.removeAll(keepingCapacity: true)
    if start > 0 { spelling.append(contentsOf: prefix) }
    let head = spelling.count
    let longest = min(word.count, start + vocabulary.longestToken)
    spelling.append(word.extracting(start..<longest))
    var end = longest
    // A cut inside a character is no end of a token.
    while end > start {
      if end == word.count || word[end] & 0xC0 != 0x80 {
        let id = vocabulary.id(of: spelling.span.extracting(0..<head + end - start))
        if id >= 0 { return (id, end) }
      }
      end -= 1
    }
    return nil
  }
}
