import Numerics
import TestSupport
import Testing

@Suite struct BFloat16Tests {
  /// Nearest of the two neighbours by distance in Double, ties to the even one; independent of the bit trick.
  private func nearest(_ value: Float) -> UInt16 {
    let below = UInt16(value.bitPattern >> 16)
    let magnitude = Double(value.magnitude)
    let low = Double(Float(bitPattern: UInt32(below & 0x7FFF) << 16))
    let above = (below & 0x7FFF) + 1
    // 2^128 stands in for infinity when distances are compared.
    let high = above == 0x7F80 ? 0x1p128 : Double(Float(bitPattern: UInt32(above) << 16))
    let (toLow, toHigh) = (magnitude - low, high - magnitude)
    if toLow < toHigh || (toLow == toHigh && below & 1 == 0) { return below }
    return below + 1
  }

  @Test func everyCodeSurvivesTheWayToFloatAndBack() {
    for bits in UInt16.min...UInt16.max {
      let value = BFloat16(bitPattern: bits)
      if value.float.isNaN {
        #expect(BFloat16(value.float).float.isNaN)
      } else if BFloat16(value.float) != value {
        Issue.record("\(bits) came back as \(BFloat16(value.float).bitPattern)")
      }
    }
  }

  @Test func roundsToNearestWithTiesToEvenAroundEveryCode() {
    var wrong: [UInt32] = []
    for upper in UInt32(0)..<0x7F80 {
      for lower: UInt32 in [0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF] {
        let value = Float(bitPattern: upper << 16 | lower)
        if BFloat16(value).bitPattern != nearest(value) { wrong.append(value.bitPattern) }
        if BFloat16(-value).bitPattern != nearest(value) | 0x8000 { wrong.append((-value).bitPattern) }
      }
    }
    #expect(wrong == [])
  }

  @Test func roundsRandomPatterns() {
    var generator = SeededGenerator(seed: 7)
    var wrong: [UInt32] = []
    for _ in 0..<200_000 {
      let value = Float(bitPattern: UInt32.random(in: 0...UInt32.max, using: &generator))
      guard value.isFinite else { continue }
      if BFloat16(value).bitPattern != nearest(value) { wrong.append(value.bitPattern) }
    }
    #expect(wrong == [])
  }

  @Test func infinityStaysAndTheLargestFloatOverflows() {
    #expect(BFloat16(.infinity).bitPattern == 0x7F80)
    #expect(BFloat16(-.infinity).bitPattern == 0xFF80)
    #expect(BFloat16(.greatestFiniteMagnitude).bitPattern == 0x7F80)
    #expect(BFloat16(Float(bitPattern: 0x7F7F_7FFF)).bitPattern == 0x7F7F)
  }

  @Test(arguments: [0x7F80_0001, 0x7FBF_FFFF, 0x7FC0_0000, 0xFF80_0001, 0xFFFF_FFFF] as [UInt32])
  func everyNaNStaysNaN(bits: UInt32) {
    let rounded = BFloat16(Float(bitPattern: bits))
    #expect(rounded.float.isNaN)
    #expect(rounded.bitPattern >> 15 == UInt16(bits >> 31))
  }

  @Test func keepsTheSignOfZero() {
    #expect(BFloat16(0).bitPattern == 0)
    #expect(BFloat16(-0.0).bitPattern == 0x8000)
  }
}
