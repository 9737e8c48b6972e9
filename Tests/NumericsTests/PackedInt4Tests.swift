import Numerics
import TestSupport
import Testing

@Suite struct PackedInt4Tests {
  @Test func everyByteHoldsTwoCodes() {
    for byte in UInt8.min...UInt8.max {
      let pair = PackedInt4(byte: byte)
      #expect(PackedInt4(low: pair.low, high: pair.high) == pair)
      #expect(Int(pair.signedLow) == (pair.low < 8 ? Int(pair.low) : Int(pair.low) - 16))
      #expect(Int(pair.signedHigh) == (pair.high < 8 ? Int(pair.high) : Int(pair.high) - 16))
    }
  }

  @Test func evenElementsLieInTheLowNibble() {
    #expect(PackedInt4.pack([1, 2, 3]) == [0x21, 0x03])
    #expect(PackedInt4.pack([]) == [])
  }

  @Test func eightCodesAreAWordFilledFromItsLowestBits() {
    let codes: [UInt8] = [7, 0, 15, 3, 1, 9, 12, 5]
    let word = codes.enumerated().reduce(UInt32(0)) { $0 | UInt32($1.element) << (4 * UInt32($1.offset)) }
    #expect(PackedInt4.pack(codes) == (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) })
  }

  @Test(arguments: 0..<10)
  func unpackingUndoesPacking(count: Int) {
    var generator = SeededGenerator(seed: UInt64(count))
    let codes = (0..<count).map { _ in UInt8.random(in: 0..<16, using: &generator) }
    #expect(PackedInt4.unpack(PackedInt4.pack(codes), count: count) == codes)
  }
}
