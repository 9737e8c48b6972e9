import Foundation
import Numerics
import TestSupport
import Testing

@Suite struct Float8Tests {
  /// What the paper's table says, in Double: (-1)^s · 2^(e-bias) · (1 + m/2^M), or 2^(1-bias) · m/2^M for e = 0.
  private static func value(_ code: UInt8, mantissaBits: Int, bias: Int) -> Double {
    let magnitude = Int(code & 0x7F)
    let exponent = magnitude >> mantissaBits
    let mantissa = Double(magnitude & ((1 << mantissaBits) - 1)) / Double(1 << mantissaBits)
    let size =
      exponent == 0 ? pow(2, Double(1 - bias)) * mantissa : pow(2, Double(exponent - bias)) * (1 + mantissa)
    return code < 0x80 ? size : -size
  }

  /// The nearest of all finite magnitudes by search, the even code on a tie.
  private static func nearest(_ value: Float, among magnitudes: [Double]) -> UInt8 {
    let size = Double(value.magnitude)
    var best = 0
    for (code, magnitude) in magnitudes.enumerated() {
      let (old, new) = (abs(size - magnitudes[best]), abs(size - magnitude))
      if new < old || (new == old && code % 2 == 0) { best = code }
    }
    return UInt8(best) | (value.sign == .minus ? 0x80 : 0)
  }

  private static let e4m3 = (0..<0x7F).map { value(UInt8($0), mantissaBits: 3, bias: 7) }
  private static let e5m2 = (0..<0x7C).map { value(UInt8($0), mantissaBits: 2, bias: 15) }

  /// All codes, all middles between neighbours with the floats beside them, and random patterns.
  private static func cases(_ magnitudes: [Double], seed: UInt64) -> [Float] {
    var generator = SeededGenerator(seed: seed)
    var cases = magnitudes.map { Float($0) }
    for (low, high) in zip(magnitudes, magnitudes.dropFirst()) {
      let middle = Float((low + high) / 2)
      cases += [middle, middle.nextDown, middle.nextUp]
    }
    for _ in 0..<5_000 {
      let exponent = Int.random(in: -30...20, using: &generator)
      cases.append(Float.random(in: 1..<2, using: &generator) * Float(pow(2, Double(exponent))))
    }
    cases += [.leastNonzeroMagnitude, .leastNormalMagnitude]
    return cases + cases.map { -$0 }
  }

  @Test func everyE4M3CodeHasTheValueOfItsFields() {
    for code in UInt8.min...UInt8.max {
      let value = Float8E4M3(bitPattern: code).float
      if code & 0x7F == 0x7F {
        #expect(value.isNaN)
      } else {
        #expect(Double(value) == Self.value(code, mantissaBits: 3, bias: 7))
        #expect(Float8E4M3(value).bitPattern == code)
      }
    }
    #expect(Float8E4M3(bitPattern: 0x7E).float == Float8E4M3.greatestFinite)
  }

  @Test func everyE5M2CodeHasTheValueOfItsFields() {
    for code in UInt8.min...UInt8.max {
      let value = Float8E5M2(bitPattern: code).float
      switch code & 0x7F {
      case 0x7C: #expect(value.magnitude == .infinity && (value < 0) == (code >= 0x80))
      case 0x7D...: #expect(value.isNaN)
      default: #expect(Double(value) == Self.value(code, mantissaBits: 2, bias: 15))
      }
      if !value.isNaN { #expect(Float8E5M2(value).bitPattern == code) }
    }
    #expect(Float8E5M2(bitPattern: 0x7B).float == Float8E5M2.greatestFinite)
  }

  @Test func roundsToTheNearestE4M3() {
    var wrong: [Float] = []
    for value in Self.cases(Self.e4m3, seed: 1) {
      if Float8E4M3(saturating: value).bitPattern != Self.nearest(value, among: Self.e4m3) {
        wrong.append(value)
      }
      if value.magnitude <= 464, Float8E4M3(value) != Float8E4M3(saturating: value) { wrong.append(value) }
    }
    #expect(wrong == [])
  }

  @Test func roundsToTheNearestE5M2() {
    var wrong: [Float] = []
    for value in Self.cases(Self.e5m2, seed: 2) {
      if Float8E5M2(saturating: value).bitPattern != Self.nearest(value, among: Self.e5m2) {
        wrong.append(value)
      }
      if value.magnitude < 61440, Float8E5M2(value) != Float8E5M2(saturating: value) { wrong.append(value) }
    }
    #expect(wrong == [])
  }

  @Test func overflowIsNaNForE4M3AndInfinityForE5M2() {
    #expect(Float8E4M3(464).bitPattern == 0x7E)
    #expect(Float8E4M3(Float(464).nextUp).bitPattern == 0x7F)
    #expect(Float8E4M3(-.infinity).bitPattern == 0xFF)
    #expect(Float8E4M3(saturating: -.infinity).bitPattern == 0xFE)
    #expect(Float8E5M2(Float(61440).nextDown).bitPattern == 0x7B)
    #expect(Float8E5M2(61440).bitPattern == 0x7C)
    #expect(Float8E5M2(-.infinity).bitPattern == 0xFC)
    #expect(Float8E5M2(saturating: .infinity).bitPattern == 0x7B)
    #expect(Float8E4M3(saturating: .nan).float.isNaN && Float8E5M2(saturating: .nan).float.isNaN)
    #expect(Float8E4M3(.nan).float.isNaN && Float8E5M2(.nan).float.isNaN)
  }
}
