import Numerics
import TestSupport
import Testing

@Suite struct HalfBitsTests {
  @Test func everyBinary16HasTheValueOfTheStandardType() {
    var wrong: [UInt16] = []
    for bits in UInt16.min...UInt16.max {
      let mine = Float(float16Bits: bits)
      let theirs = Float(Float16(bitPattern: bits))
      let same = theirs.isNaN ? mine.isNaN : mine.bitPattern == theirs.bitPattern
      if !same { wrong.append(bits) }
    }
    #expect(wrong == [])
  }

  @Test func aBFloat16IsTheUpperHalfOfAFloat() {
    for value: Float in [
      0, -0.0, 1, -1.5, 3.389_531_4e38, Float(bitPattern: 0x0001_0000), .infinity, -.infinity,
    ] {
      let upper = UInt16(truncatingIfNeeded: value.bitPattern >> 16)
      #expect(Float(bfloat16Bits: upper).bitPattern == value.bitPattern & 0xFFFF_0000)
    }
    #expect(Float(bfloat16Bits: 0x7FC0).isNaN)
  }

  @Test func roundsTiesToEvenBetweenAllNeighbours() {
    var wrong: [UInt16] = []
    for bits in UInt16(0)..<0x7BFF {
      let tie = (Float(float16Bits: bits) + Float(float16Bits: bits + 1)) / 2
      let expected = bits & 1 == 0 ? bits : bits + 1
      if tie.float16Bits != expected || tie.nextDown.float16Bits != bits
        || tie.nextUp.float16Bits != bits + 1
      {
        wrong.append(bits)
      }
    }
    #expect(wrong == [])
  }

  @Test func overflowsToInfinityFromTheMiddleOfTheMissingStep() {
    #expect(Float(65519.99).float16Bits == 0x7BFF)
    #expect(Float(65520).float16Bits == 0x7C00)
    #expect(Float(-65520).float16Bits == 0xFC00)
  }
}
