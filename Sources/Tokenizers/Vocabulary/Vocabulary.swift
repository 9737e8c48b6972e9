/// Tokens by id and ids by token.
///
///     bytes   [ t h e Ġ t h e … ]        all tokens, one behind the other
///     starts  [ 0, 3, … ]                by id: where the token begins
///     lengths [ 3, 4, … ]                by id; `hole` for an id without a token
///     slots   [ 0, hash|id+1, 0, … ]     open addressing, at most half full
struct Vocabulary: Sendable {
  /// Ids at or above this are refused: no model has so many, and tables are as long as the greatest id.
  static let idLimit = 1 << 22

  private(set) var bytes: [UInt8] = []
  private var starts: [UInt32] = []
  private var lengths: [UInt32] = []
  private var slots: [UInt64] = [0, 0]
  private let hash = ByteHash()
  private(set) var tokenCount = 0
  private(set) var longestToken = 0

  private static let hole = UInt32.max

  init() {}

  /// One more than the greatest id.
  var endID: Int { starts.count }

  func contains(_ id: Int32) -> Bool {
    id >= 0 && Int(id) < lengths.count && lengths[Int(id)] != Self.hole
  }

  /// Where the token's bytes lie in `bytes`; empty for an id without a token.
  @inline(__always)
  func range(of id: Int32) -> Range<Int> {
    guard contains(id) else { return 0..<0 }
    let start = Int(starts[Int(id)])
    return start..<start + Int(lengths[Int(id)])
  }

  func token(_ id: Int32) -> ArraySlice<UInt8> { bytes[range(of: id)] }

  /// The id of a token, or -1.
  @inline(__always)
  func id(of key: Span<UInt8>) -> Int32 {
    let count = key.count
    if count > longestToken { return -1 }
    let value = hash(key)
    let tag = value & 0xFFFF_FFFF_0000_0000
    let slots = slots.span
    let mask = slots.count - 1
    var place = Int(truncatingIfNeeded: value) & mask
    while true {
      let slot = unsafe slots[unchecked: place]
      if slot == 0 { return -1 }
      if slot & 0xFFFF_FFFF_0000_0000 == tag {
        let id = Int(truncatingIfNeeded: slot & 0xFFFF_FFFF) - 1
        if lengths[id] == UInt32(truncatingIfNeeded: count) {
          let start = Int(starts[id])
          if equalBytes(bytes.span.extracting(start..<start + count), key) {
            return Int32(truncatingIfNeeded: id)
          }
        }
      }
      place = (place + 1) & mask
    }
  }

  func id(of key: some Collection<UInt8>) -> Int32 {
    let bytes = Array(key)
    return id(of: bytes.span)
  }
}

extension Vocabulary {
  enum InsertionFailure: Error {
    case idTaken
    case tokenTaken
  }

  mutating func reserve(tokens: Int, bytes byteCount: Int) {
    bytes.reserveCapacity(byteCount)
    starts.reserveCapacity(tokens)
    lengths.reserveCapacity(tokens)
    grow(to: tokens)
  }

  /// Adds a token. The id must be in `0..<idLimit`.
  mutating func insert(_ token: Span<UInt8>, id: Int) throws(InsertionFailure) {
    if id < lengths.count, lengths[id] != Self.hole { throw .idTaken }
    if self.id(of: token) >= 0 { throw .tokenTaken }
    while lengths.count <= id {
      starts.append(0)
      lengths.append(Self.hole)
    }
    starts[id] = UInt32(truncatingIfNeeded: bytes.count)
    lengths[id] = UInt32(truncatingIfNeeded: token.count)
    for index in token.indices { bytes.append(token[index]) }
    longestToken = max(longestToken, token.count)
    tokenCount += 1
    grow(to: tokenCount)
    place(id, hash: hash(token))
  }

  private mutating func grow(to tokens: Int) {
    var capacity = slots.count
    while capacity < 2 * tokens { capacity *= 2 }
    if capacity == slots.count { return }
    slots = [UInt64](repeating: 0, count: capacity)
    for id in lengths.indices where lengths[id] != Self.hole {
      let start = Int(starts[id])
      let end = start + Int(lengths[id])
      if end <= bytes.count { place(id, hash: hash(bytes.span.extracting(start..<end))) }
    }
  }

  private mutating func place(_ id: Int, hash value: UInt64) {
    let mask = slots.count - 1
    var place = Int(truncatingIfNeeded: value) & mask
    while slots[place] != 0 { place = (place + 1) & mask }
    slots[place] = value & 0xFFFF_FFFF_0000_0000 | UInt64(id + 1)
  }
}
