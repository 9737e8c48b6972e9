import Testing

@testable import Scheduling

@Suite struct BlockDigestTests {
  static let key = BlockHashKey(low: 0x0706_0504_0302_0100, high: 0x0f0e_0d0c_0b0a_0908)

  /// `openssl mac -macopt hexkey:000102…0f -macopt size:16 SIPHASH` over the bytes 0, 1, 2 …
  @Test(
    "The hash is OpenSSL's SipHash-2-4-128",
    arguments: [
      (0, "a3817f04ba25a8e66df67214c7550293"),
      (1, "da87c1d86b99af44347659119b22fc45"),
      (7, "a1f1ebbed8dbc153c0b84aa61ff08239"),
      (8, "3b62a9ba6258f5610f83e264f31497b4"),
      (15, "5493e99933b0a8117e08ec0f97cfc3d9"),
      (80, "d2c76ae17a4370f858fba4795a0df822"),
    ])
  func openSSL(count: Int, expected: String) {
    var hash = SipHash128(key: Self.key)
    for byte in 0..<count { hash.append(UInt8(byte)) }
    #expect(Self.hexadecimal(hash.finish()) == expected)
  }

  @Test("A digest hashes the parent's sixteen bytes and then the tokens, little-endian") func layout() {
    // The bytes 0 … 79 as a parent digest and sixteen tokens.
    let parent = BlockDigest(low: 0x0706_0504_0302_0100, high: 0x0f0e_0d0c_0b0a_0908)
    var tokens: [Int32] = [-1, -1]
    for token in 0..<16 {
      let byte = Int32(16 + 4 * token)
      tokens.append(byte | (byte + 1) << 8 | (byte + 2) << 16 | (byte + 3) << 24)
    }
    let digest = parent.chained(tokens: tokens, start: 2, key: Self.key)
    #expect(Self.hexadecimal(digest) == "d2c76ae17a4370f858fba4795a0df822")
  }

  @Test("A digest depends on every token, the order, the prefix, the salt and the key")
  func distinct() {
    let tokens = [Int32](0..<32)
    let plain = BlockDigest.root(salt: nil, key: Self.key)
    let first = plain.chained(tokens: tokens, start: 0, key: Self.key)
    var digests = [first, plain, first.chained(tokens: tokens, start: 0, key: Self.key)]
    for index in 0..<16 {
      var changed = tokens
      changed[index] ^= 1 << 20
      digests.append(plain.chained(tokens: changed, start: 0, key: Self.key))
    }
    var swapped = tokens
    swapped.swapAt(3, 4)
    digests.append(plain.chained(tokens: swapped, start: 0, key: Self.key))
    for salt in ["", "a", "b", "tenant-1", "tenant-2"] {
      let root = BlockDigest.root(salt: salt, key: Self.key)
      digests += [root, root.chained(tokens: tokens, start: 0, key: Self.key)]
    }
    digests.append(plain.chained(tokens: tokens, start: 0, key: BlockHashKey(low: 1, high: 2)))
    #expect(Set(digests).count == digests.count)
  }

  @Test("Random keys differ") func randomKeys() {
    #expect(BlockHashKey.random() != BlockHashKey.random())
  }

  static func hexadecimal(_ digest: BlockDigest) -> String {
    var text = ""
    for word in [digest.low, digest.high] {
      for byte in 0..<8 {
        let value = word >> UInt64(8 * byte) & 0xff
        text += (value < 16 ? "0" : "") + String(value, radix: 16)
      }
    }
    return text
  }
}
