/// Byte-pair encoding (Sennrich et al. 2016): a piece is taken apart into symbols, then the most urgent pair of
/// neighbours is joined, again and again, until no pair has a merge.
struct BytePairModel: Sendable {
  /// What a piece is taken apart into.
  enum Symbols: Sendable {
    /// Bytes; the vocabulary's tokens are byte strings.
    case bytes
    /// Characters. `byteFallback`: one the vocabulary lacks becomes its bytes, written "<0xE4>".
    case characters(byteFallback: Bool, prefix: [UInt8], suffix: [UInt8])
  }

  let vocabulary: Vocabulary
  let merges: MergeTable
  let symbols: Symbols
  /// A piece that is a token is that token, whatever its merges say (as tiktoken does).
  let ignoresMerges: Bool
  let unknown: Int32?
  let fusesUnknown: Bool
  /// No token joins a "▁" to what stands before it, so that pieces may be cut there.
  let splitsAtSpaceMarks: Bool
  /// The token of each byte, or of each ASCII character; -1 for none.
  private let singles: [Int32]
  /// "<0x00>" … "<0xFF>", or -1.
  private let byteTokens: [Int32]

  /// Pieces of more symbols are joined by means of a heap, in O(n log n).
  private static let longPiece = 64

  init(
    vocabulary: Vocabulary, merges: MergeTable, symbols: Symbols, ignoresMerges: Bool = false,
    unknown: Int32? = nil, fusesUnknown: Bool = false
  ) {
    self.vocabulary = vocabulary
    self.merges = merges
    self.symbols = symbols
    self.ignoresMerges = ignoresMerges
    self.unknown = unknown
    self.fusesUnknown = fusesUnknown
    singles = (0...255).map { vocabulary.id(of: CollectionOfOne(UInt8($0))) }
    byteTokens = (0...255).map { vocabulary.id(of: Self.spelling(ofByte: UInt8($0))) }
    splitsAtSpaceMarks = !ignoresMerges && Self.splitsAtSpaceMarks(vocabulary, symbols)
  }

  /// "<0x0A>".
  static func spelling(ofByte byte: UInt8) -> [UInt8] {
    let digits = Array("0123456789ABCDEF".utf8)
    return Array("<0x".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)], UInt8(ascii: ">")]
  }

  /// Appends the tokens of one piece.
  func encode(_ piece: Span<UInt8>, _ scratch: inout EncodeScratch, into ids: inout [Int32]) {
    if !splitsAtSpaceMarks { return encodeWhole(piece, &scratch, into: &ids) }
    var start = 0
    var place = 1
    while place + 2 < piece.count {
      if piece[place] == 0xE2, piece[place + 1] == 0x96, piece[place + 2] == 0x81 {
        if !Self.isSpaceMark(piece, before: place) {
          encodeWhole(piece.extracting(start..<place), &scratch, into: &ids)
          start = place
        }
        place += 3
      } else {
        place += 1
      }
    }
    encodeWhole(piece.extracting(start..<piece.count), &scratch, into: &ids)
  }

  @inline(__always)
  private func encodeWhole(_ piece: Span<UInt8>, _ scratch: inout EncodeScratch, into ids: inout [Int32]) {
    guard let key = PieceCache.key(piece) else { return encodeNew(piece, &scratch, into: &ids) }
    if scratch.cache.append(key, to: &ids) { return }
    let before = ids.count
    encodeNew(piece, &scratch, into: &ids)
    scratch.cache.store(key, ids[before...])
  }

  private func encodeNew(_ piece: Span<UInt8>, _ scratch: inout EncodeScratch, into ids: inout [Int32]) {
    let whole = vocabulary.id(of: piece)
    if whole < 0 { return encodeParts(piece, &scratch, into: &ids) }
    if ignoresMerges { return ids.append(whole) }
    if scratch.wholeTokens.isEmpty {
      scratch.wholeTokens = [UInt8](repeating: Whole.unknown, count: vocabulary.endID)
    }
    if scratch.wholeTokens[Int(whole)] == Whole.yes { return ids.append(whole) }
    let before = ids.count
    encodeParts(piece, &scratch, into: &ids)
    let isWhole = ids.count == before + 1 && ids[before] == whole
    scratch.wholeTokens[Int(whole)] = isWhole ? Whole.yes : Whole.no
  }

  private enum Whole {
    static let unknown: UInt8 = 0
    static let yes: UInt8 = 1
    static let no: UInt8 = 2
  }

  private func encodeParts(_ piece: Span<UInt8>, _ scratch: inout EncodeScratch, into ids: inout [Int32]) {
    scratch.symbols.removeAll(keepingCapacity: true)
    switch symbols {
    case .bytes: appendBytes(piece, &scratch)
    case .characters(let byteFallback, let prefix, let suffix):
      appendCharacters(piece, &scratch, byteFallback, prefix, suffix)
    }
    if scratch.symbols.count > Self.longPiece {
      joinLong(&scratch, into: &ids)
    } else {
      joinShort(&scratch, into: &ids)
    }
  }
}

// MARK: Taking apart

extension BytePairModel {
  private func appendBytes(_ piece: Span<UInt8>, _ scratch: inout EncodeScratch) {
    var hasUnknown = false
    for index in piece.indices { append(singles[Int(piece[index])], &hasUnknown, &scratch) }
    if hasUnknown, let unknown { scratch.symbols.append(unknown) }
  }

  private func appendCharacters(
    _ piece: Span<UInt8>, _ scratch: inout EncodeScratch, _ byteFallback: Bool, _ prefix: [UInt8],
    _ suffix: [UInt8]
  ) {
    let isBare = prefix.isEmpty && suffix.isEmpty
    var hasUnknown = false
    var place = 0
    while place < piece.count {
      let end = place + UTF8Scalar.decode(piece, at: place).length
      let character = piece.extracting(place..<end)
      let id =
        isBare
        ? self.id(of: character)
        : self.id(
          of: character, prefix: place == 0 ? [] : prefix, suffix: end < piece.count ? [] : suffix,
          &scratch.spelling)
      place = end
      if id >= 0 || !byteFallback || !appendByteTokens(character, &scratch) {
        append(id, &hasUnknown, &scratch)
      }
    }
    if hasUnknown, let unknown { scratch.symbols.append(unknown) }
  }

  /// Appends a symbol, or notes that one is unknown (-1).
  ///
  /// An unknown symbol is written when a known one follows; spelled bytes may come between, as in the Hugging
  /// Face library.
  @inline(__always)
  private func append(_ id: Int32, _ hasUnknown: inout Bool, _ scratch: inout EncodeScratch) {
    if id >= 0 {
      if hasUnknown, let unknown { scratch.symbols.append(unknown) }
      scratch.symbols.append(id)
      hasUnknown = false
    } else {
      if hasUnknown, !fusesUnknown, let unknown { scratch.symbols.append(unknown) }
      hasUnknown = true
    }
  }

  @inline(__always)
  private func id(of character: Span<UInt8>) -> Int32 {
    character.count == 1 ? singles[Int(character[0])] : vocabulary.id(of: character)
  }

  private func id(
    of character: Span<UInt8>, prefix: [UInt8], suffix: [UInt8], _ spelling: inout [UInt8]
  ) -> Int32 {
    spelling.removeAll(keepingCapacity: true)
    spelling.append(contentsOf: prefix)
    spelling.append(character)
    spelling.append(contentsOf: suffix)
    return vocabulary.id(of: spelling.span)
  }

  /// False, and nothing is appended, when the vocabulary lacks one of the bytes.
  private func appendByteTokens(_ character: Span<UInt8>, _ scratch: inout EncodeScratch) -> Bool {
    for index in character.indices where byteTokens[Int(character[index])] < 0 { return false }
    for index in character.indices { scratch.symbols.append(byteTokens[Int(character[index])]) }
    return true
  }

  private static func isSpaceMark(_ piece: Span<UInt8>, before place: Int) -> Bool {
    place >= 3 && piece[place - 3] == 0xE2 && piece[place - 2] == 0x96 && piece[place - 1] == 0x81
  }

  private static func splitsAtSpaceMarks(_ vocabulary: Vocabulary, _ symbols: Symbols) -> Bool {
    guard case .characters(_, let prefix, let suffix) = symbols, prefix.isEmpty, suffix.isEmpty else {
      return false
    }
    let mark: [UInt8] = [0xE2, 0x96, 0x81]
    if vocabulary.id(of: mark) < 0 { return false }
    let bytes = vocabulary.bytes.span
    for id in 0..<Int32(vocabulary.endID) {
      let range = vocabulary.range(of: id)
      let token = bytes.extracting(range)
      var place = 1
      while place + 2 < token.count {
        if token[place] == 0xE2, token[place + 1] == 0x96, token[place + 2] == 0x81,
          !isSpaceMark(token, before: place)
        {
          return false
        }
        place += 1
      }
    }
    return true
  }
}
