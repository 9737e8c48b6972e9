/// All that decoding needs of a tokenizer.
final class DecodingTables: Sendable {
  let decoder: TokenDecoder
  /// Whether the text is the tokens' bytes put together, and nothing else.
  let isPlainBytes: Bool
  /// For tokens that are not the first.
  let texts: TokenTexts
  private let vocabulary: Vocabulary
  private let added: AddedVocabulary
  /// Whether the vocabulary's tokens are byte strings, spelled with the byte alphabet.
  private let holdsBytes: Bool

  init(
    _ decoder: TokenDecoder, vocabulary: Vocabulary, added: AddedVocabulary, holdsBytes: Bool
  ) throws(TokenizerError) {
    self.decoder = decoder
    isPlainBytes =
      decoder.joinsBytes && !decoder.hasByteFallback && decoder.late.isEmpty && decoder.final.isEmpty
      && decoder.strip == nil && !decoder.needsNext && !decoder.dependsOnPlace
    self.vocabulary = vocabulary
    self.added = added
    self.holdsBytes = holdsBytes
    let count = max(vocabulary.endID, added.endID)
    var texts = TokenTexts(count: count)
    for id in 0..<Int32(count) {
      if Self.copiesBytes(decoder, holdsBytes), vocabulary.contains(id), added.token(id) == nil {
        texts.append(vocabulary.bytes.span.extracting(vocabulary.range(of: id)), .text)
      } else if let token = Self.spelling(of: id, vocabulary, added, holdsBytes) {
        let text = decoder.early.reduce(token) { $1.apply(to: $0, isFirst: false, isLast: false) }
        if decoder.hasByteFallback, let byte = TokenDecoder.fallbackByte(of: text) {
          texts.append([byte].span, .byte)
        } else {
          texts.append(text.span, .text)
        }
      } else {
        texts.appendNone()
      }
    }
    guard texts.byteCount <= Self.mostBytes else {
      throw .outOfRange(
        field: "decoder", value: "\(texts.byteCount) bytes of tokens", allowed: "0...\(Self.mostBytes)")
    }
    for token in added.tokens where token.isSpecial { texts.markSpecial(token.id) }
    self.texts = texts
  }

  /// Of all tokens' texts together.
  private static let mostBytes = 1 << 31

  private static func copiesBytes(_ decoder: TokenDecoder, _ holdsBytes: Bool) -> Bool {
    if holdsBytes, decoder.early.count == 1, case .byteLevel = decoder.early[0] { true } else { false }
  }

  /// A token as the vocabulary's file spells it; nil for an id without a token.
  func spelling(of id: Int32) -> [UInt8]? { Self.spelling(of: id, vocabulary, added, holdsBytes) }

  private static func spelling(
    of id: Int32, _ vocabulary: Vocabulary, _ added: AddedVocabulary, _ holdsBytes: Bool
  ) -> [UInt8]? {
    if let token = added.token(id) { return token.content }
    guard vocabulary.contains(id) else { return nil }
    let token = vocabulary.bytes.span.extracting(vocabulary.range(of: id))
    if !holdsBytes { return Array(token) }
    var spelled: [UInt8] = []
    ByteAlphabet.appendText(of: token, to: &spelled)
    return spelled
  }

  func text(of id: Int32, isFirst: Bool, isLast: Bool) -> [UInt8] {
    decoder.early.reduce(spelling(of: id) ?? []) { $1.apply(to: $0, isFirst: isFirst, isLast: isLast) }
  }

  /// The text of all tokens; much faster than one by one where no stage needs to look around.
  func decode(_ ids: [Int32], skipSpecialTokens: Bool) -> [UInt8] {
    if isPlainBytes { return texts.joined(ids, skipSpecialTokens: skipSpecialTokens) }
    var output: [UInt8] = []
    output.reserveCapacity(4 * ids.count)
    if decoder.needsNext || !decoder.late.isEmpty || !decoder.final.isEmpty || decoder.strip != nil
      || (decoder.hasByteFallback && decoder.joinsBytes)
    {
      var state = DecoderState()
      for id in ids where isText(id, skipSpecialTokens) { state.append(id, self, to: &output) }
      state.finish(self, to: &output)
      return output
    }
    var isFirst = true
    /// Where the run of spelled bytes in hand begins.
    var runStart = -1
    for id in ids where isText(id, skipSpecialTokens) {
      let isByte = texts.isByte(id)
      if isByte, runStart < 0 { runStart = output.count }
      if !isByte, runStart >= 0 {
        Self.endRun(&output, from: runStart)
        runStart = -1
      }
      if isFirst, decoder.dependsOnPlace, !isByte {
        output.append(contentsOf: text(of: id, isFirst: true, isLast: false))
      } else {
        texts.appendText(of: id, to: &output)
      }
      isFirst = false
    }
    if runStart >= 0 { Self.endRun(&output, from: runStart) }
    return output
  }

  @inline(__always)
  func isText(_ id: Int32, _ skipSpecialTokens: Bool) -> Bool {
    texts.isText(id, skipSpecialTokens)
  }

  /// A run that is no valid text becomes one U+FFFD for each of its bytes.
  private static func endRun(_ output: inout [UInt8], from start: Int) {
    let count = output.count - start
    if UTF8Validity.validPrefix(output.span.extracting(start..<output.count)) == count { return }
    output.removeLast(count)
    for _ in 0..<count { output.append(contentsOf: "\u{FFFD}".utf8) }
  }
}
