/// SentencePiece's `precompiled_charsmap`: a trie of character sequences and what each becomes.
///
///     [ trie bytes: UInt32 ][ trie: UInt32 × n ][ replacements, each ended by a zero byte ]
///
/// The trie is a double array in the layout of Darts-clone: a unit holds the label of the edge that leads to it,
/// the offset to its children, and whether a sequence ends there.
struct PrecompiledNormalizer: Sendable {
  private let units: [UInt32]
  private let replacements: [UInt8]

  /// Sequences of more bytes are looked up character by character.
  private static let longestCluster = 5

  /// - Parameter map: the bytes of the map; nil when they have no such layout.
  init?(map: [UInt8]) {
    guard map.count >= 4 else { return nil }
    let size = (0..<4).reduce(0) { $0 | Int(map[$1]) << (8 * $1) }
    guard size % 4 == 0, size > 0, size <= map.count - 4 else { return nil }
    units = stride(from: 4, to: 4 + size, by: 4).map { start in
      (0..<4).reduce(0) { $0 | UInt32(map[start + $1]) << (8 * UInt32($1)) }
    }
    replacements = Array(map[(4 + size)...])
  }

  func normalize(_ text: Span<UInt8>) -> [UInt8]? {
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    // A character as a reader sees it may be several scalars; the whole is tried first.
    for cluster in String(decoding: Array(text), as: UTF8.self) {
      let bytes = Array(cluster.utf8)
      if bytes.count <= Self.longestCluster, let replacement = replacement(of: bytes[...]) {
        result.append(contentsOf: replacement)
        continue
      }
      for scalar in cluster.unicodeScalars {
        let bytes = Array(UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
        result.append(contentsOf: replacement(of: bytes[...]) ?? bytes[...])
      }
    }
    return result
  }

  /// What the shortest sequence of the map that begins the text becomes.
  private func replacement(of text: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    guard let value = shortestPrefix(of: text), value < replacements.count else { return nil }
    let end = replacements[value...].firstIndex(of: 0) ?? replacements.count
    return replacements[value..<end]
  }

  private func shortestPrefix(of text: ArraySlice<UInt8>) -> Int? {
    var node = Self.offset(units[0])
    for byte in text {
      if byte == 0 { return nil }
      node ^= Int(byte)
      guard node < units.count else { return nil }
      let unit = units[node]
      if unit & (1 << 31 | 0xFF) != UInt32(byte) { return nil }
      node ^= Self.offset(unit)
      guard node < units.count else { return nil }
      if unit >> 8 & 1 == 1 { return Int(units[node] & ~(1 << 31)) }
    }
    return nil
  }

  private static func offset(_ unit: UInt32) -> Int { Int(unit >> 10) << Int((unit & (1 << 9)) >> 6) }
}
