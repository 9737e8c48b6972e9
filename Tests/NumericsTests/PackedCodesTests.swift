import Numerics
import TestSupport
import Testing

@Suite struct PackedCodesTests {
  @Test(arguments: 1...8) func `round trip and dense layout`(bits: Int) {
    var random = SeededGenerator(seed: UInt64(bits))
    for count in [0, 1, 7, 10, 11, 31, 32, 33, 64, 100, 257] {
      let codes = (0..<count).map { _ in UInt8.random(in: 0...UInt8((1 << bits) - 1), using: &random) }
      let words = PackedCodes.pack(codes, bits: bits)
      #expect(words.count == (count * bits + 31) / 32)
      #expect(PackedCodes.unpack(words, bits: bits, count: count) == codes)
      // The definition, bit by bit.
      for (index, code) in codes.enumerated() {
        for bit in 0..<bits {
          let place = index * bits + bit
          #expect(words[place / 32] >> UInt32(place % 32) & 1 == UInt32(code) >> UInt32(bit) & 1)
        }
      }
    }
  }

  /// AutoGPTQ's 3-bit words: w0 = v0…v9 and the low two bits of v10, w1 begins with v10's high bit.
  @Test func `three bits straddle words as AutoGPTQ packs them`() {
    var codes = [UInt8](repeating: 0, count: 32)
    codes[10] = 0b110
    codes[21] = 0b101
    let words = PackedCodes.pack(codes, bits: 3)
    #expect(words == [0b10 << 30, 0b1 | 0b1 << 31, 0b10])
  }
}
