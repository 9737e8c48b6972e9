/// Philox4x32-10, a counter-based generator: 128 random bits that are a pure function of a counter and a key.
///
/// Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011). Nothing is carried from
/// one draw to the next, so any thread on any device can compute any draw by itself.
package enum Philox {
  /// Four words, in the order the paper numbers them.
  package struct Block: Sendable, Equatable {
    package var word0: UInt32
    package var word1: UInt32
    package var word2: UInt32
    package var word3: UInt32

    package init(_ word0: UInt32, _ word1: UInt32, _ word2: UInt32, _ word3: UInt32) {
      self.word0 = word0
      self.word1 = word1
      self.word2 = word2
      self.word3 = word3
    }

    /// - Precondition: `index` is 0, 1, 2 or 3; the two low bits are what counts.
    package subscript(index: UInt32) -> UInt32 {
      switch index & 3 {
      case 0: word0
      case 1: word1
      case 2: word2
      default: word3
      }
    }
  }

  /// Ten rounds over `counter` with `key` (`word0` is its low half).
  package static func block(counter: Block, key: UInt64) -> Block {
    var (c0, c1, c2, c3) = (counter.word0, counter.word1, counter.word2, counter.word3)
    var k0 = UInt32(truncatingIfNeeded: key)
    var k1 = UInt32(truncatingIfNeeded: key &>> 32)
    var round = 0
    while round < 10 {
      let product0 = 0xD251_1F53 &* UInt64(c0)
      let product1 = 0xCD9E_8D57 &* UInt64(c2)
      c0 = UInt32(truncatingIfNeeded: product1 &>> 32) ^ c1 ^ k0
      c1 = UInt32(truncatingIfNeeded: product1)
      c2 = UInt32(truncatingIfNeeded: product0 &>> 32) ^ c3 ^ k1
      c3 = UInt32(truncatingIfNeeded: product0)
      k0 = k0 &+ 0x9E37_79B9
      k1 = k1 &+ 0xBB67_AE85
      round &+= 1
    }
    return Block(c0, c1, c2, c3)
  }
}
