/// Key of the block hash; whoever does not know it cannot construct collisions.
package struct BlockHashKey: Sendable, Equatable {
  package var low: UInt64
  package var high: UInt64

  package init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }

  package static func random() -> BlockHashKey {
    var generator = SystemRandomNumberGenerator()
    return BlockHashKey(low: generator.next(), high: generator.next())
  }
}

/// The name of a full block's content: everything from the start of the sequence to the block's end.
///
/// ```
/// root            = 0                                     without salt and adapter
///                 = SipHash-2-4-128(salt)                 with a salt
///                 = SipHash-2-4-128(FF ‖ adapter ‖ FF ‖ salt)   with an adapter; without a salt it ends before it
/// digest(block i) = SipHash-2-4-128(digest(block i - 1) ‖ 16 tokens as little-endian Int32)
/// ```
/// The chain makes a block's name depend on its whole prefix, and the salt in its root keeps tenants apart.
/// SipHash is a keyed function: with a secret key, finding two prompts of one name is as hard as guessing
/// 128 bits, and a hit is confirmed by comparing the block's tokens besides. It costs a few nanoseconds a token.
package struct BlockDigest: Sendable, Hashable {
  package var low: UInt64
  package var high: UInt64

  package init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }

  package static let unsaltedRoot = BlockDigest(low: 0, high: 0)

  /// The digest that stands before a sequence's first block.
  package static func root(salt: String?, adapter: Int32 = 0, key: BlockHashKey) -> BlockDigest {
    var hash = SipHash128(key: key)
    if adapter != 0 {
      // No text holds this byte, so that no salt can be taken for an adapter.
      hash.append(0xFF as UInt8)
      for shift in [0, 8, 16, 24] { hash.append(UInt8(truncatingIfNeeded: adapter >> Int32(shift))) }
      if salt != nil { hash.append(0xFF as UInt8) }
    } else if salt == nil {
      return unsaltedRoot
    }
    guard let salt else { return hash.finish() }
    for byte in salt.utf8 { hash.append(byte) }
    return hash.finish()
  }

  /// The name of the same tokens' block in another group of layers (`KVGroups`).
  func of(group: Int) -> BlockDigest {
    BlockDigest(low: low &+ UInt64(group) &* 0x9E37_79B9_7F4A_7C15, high: high)
  }

  /// The digest of the block of `KVBlockPool.blockSize` tokens that starts at `tokens[start]`.
  package func chained(tokens: [Int32], start: Int, key: BlockHashKey) -> BlockDigest {
    var hash = SipHash128(key: key)
    hash.append(low)
    hash.append(high)
    for pair in stride(from: start, to: start + KVBlockPool.blockSize, by: 2) {
      let first = UInt64(UInt32(bitPattern: tokens[pair]))
      let second = UInt64(UInt32(bitPattern: tokens[pair + 1]))
      hash.append(first | second << 32)
    }
    return hash.finish()
  }
}

/// SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, "SipHash: a fast short-input PRF", and the
/// authors' reference implementation for the wide output).
struct SipHash128 {
  private var v0: UInt64
  private var v1: UInt64
  private var v2: UInt64
  private var v3: UInt64
  /// Bytes that do not fill a word yet, from the least significant up.
  private var tail: UInt64 = 0
  private var byteCount = 0

  init(key: BlockHashKey) {
    v0 = key.low ^ 0x736f_6d65_7073_6575
    v1 = key.high ^ 0x646f_7261_6e64_6f6d ^ 0xee
    v2 = key.low ^ 0x6c79_6765_6e65_7261
    v3 = key.high ^ 0x7465_6462_7974_6573
  }

  /// Eight bytes, little-endian; only between whole words.
  mutating func append(_ word: UInt64) {
    assert(byteCount % 8 == 0, "a word inside a word")
    byteCount += 8
    compress(word)
  }

  mutating func append(_ byte: UInt8) {
    tail |= UInt64(byte) << UInt64(8 * (byteCount % 8))
    byteCount += 1
    if byteCount % 8 == 0 {
      compress(tail)
      tail = 0
    }
  }

  consuming func finish() -> BlockDigest {
    compress(UInt64(byteCount & 0xff) << 56 | tail)
    v2 ^= 0xee
    for _ in 0..<4 { round() }
    let low = v0 ^ v1 ^ v2 ^ v3
    v1 ^= 0xdd
    for _ in 0..<4 { round() }
    return BlockDigest(low: low, high: v0 ^ v1 ^ v2 ^ v3)
  }

  private mutating func compress(_ word: UInt64) {
    v3 ^= word
    round()
    round()
    v0 ^= word
  }

  private mutating func round() {
    v0 &+= v1
    v2 &+= v3
    v1 = (v1 << 13 | v1 >> 51) ^ v0
    v3 = (v3 << 16 | v3 >> 48) ^ v2
    v0 = v0 << 32 | v0 >> 32
    v2 &+= v1
    v0 &+= v3
    v1 = (v1 << 17 | v1 >> 47) ^ v2
    v3 = (v3 << 21 | v3 >> 43) ^ v0
    v2 = v2 << 32 | v2 >> 32
  }
}
