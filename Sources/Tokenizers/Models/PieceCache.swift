/// The tokens of pieces met before, of at most 16 bytes and 6 tokens; a newer piece takes an older one's place.
///
///     words, 6 for each slot:
///     [ bytes 0–7 ][ the last 8 bytes ][ length | tokens << 8 ][ id 0, 1 ][ id 2, 3 ][ id 4, 5 ]
struct PieceCache: Sendable {
  /// A piece that fits, as three words that tell it from every other.
  struct Key {
    var head: UInt64
    var tail: UInt64
    var length: UInt64
  }

  private var words: [UInt64] = []

  private static let slotBits: UInt64 = 12
  private static let slotWords = 6
  private static let longestPiece = 16
  private static let mostTokens = 6

  /// nil for a piece that does not fit.
  @inline(__always)
  static func key(_ piece: Span<UInt8>) -> Key? {
    let count = piece.count
    if count > longestPiece { return nil }
    let bytes = unsafe piece.bytes
    let length = UInt64(truncatingIfNeeded: count)
    if count <= 8 { return Key(head: ByteHash.word(bytes, count), tail: 0, length: length) }
    return Key(head: ByteHash.load(bytes, 0), tail: ByteHash.load(bytes, count - 8), length: length)
  }

  @inline(__always)
  private static func start(of key: Key) -> Int {
    let mixed = (key.head ^ key.length) &* 0x9E37_79B9_7F4A_7C15 ^ key.tail &* 0xE703_7ED1_A0B4_28DB
    let spread = (mixed ^ mixed >> 29) &* 0xA076_1D64_78BD_642F
    return Int(truncatingIfNeeded: spread >> (64 - slotBits)) * slotWords
  }

  /// Appends the tokens of a piece; false when they are not known.
  @inline(__always)
  func append(_ key: Key, to ids: inout [Int32]) -> Bool {
    if words.isEmpty { return false }
    let words = words.span
    let start = Self.start(of: key)
    let counts = words[start + 2]
    if words[start] != key.head || words[start + 1] != key.tail || counts & 0xFF != key.length {
      return false
    }
    var count = counts >> 8
    var place = start + 3
    while true {
      ids.append(Int32(truncatingIfNeeded: words[place]))
      if count == 1 { return true }
      ids.append(Int32(truncatingIfNeeded: words[place] >> 32))
      if count == 2 { return true }
      count -= 2
      place += 1
    }
  }

  /// Keeps the tokens of a piece, if they fit. A piece without tokens is not kept.
  mutating func store(_ key: Key, _ tokens: ArraySlice<Int32>) {
    if tokens.isEmpty || tokens.count > Self.mostTokens { return }
    if words.isEmpty {
      // No piece has length 0, so that an empty slot matches nothing.
      words = [UInt64](repeating: 0, count: Self.slotWords << Int(Self.slotBits))
    }
    let start = Self.start(of: key)
    words[start] = key.head
    words[start + 1] = key.tail
    words[start + 2] = key.length | UInt64(tokens.count) << 8
    for place in 0..<Self.mostTokens / 2 { words[start + 3 + place] = 0 }
    for (index, id) in tokens.enumerated() {
      words[start + 3 + index / 2] |= UInt64(UInt32(bitPattern: id)) << (index % 2 == 0 ? 0 : 32)
    }
  }
}
