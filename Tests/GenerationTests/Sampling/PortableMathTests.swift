import Foundation
import TestSupport
import Testing

@testable import Generation

@Suite struct PortableMathTests {
  @Test("The logarithm is within two units of the exact one")
  func logarithm() {
    var random = SeededGenerator(seed: 1)
    var worst = 0.0
    for _ in 0..<20_000 {
      let x = Float(bitPattern: UInt32.random(in: 0x2F00_0000...0x4200_0000, using: &random))
      let exact = Foundation.log(Double(x))
      worst = max(worst, abs(Double(PortableMath.log(x)) - exact) / Double(Float(exact).ulp))
    }
    // Around 1 the logarithm is small; the error is relative there too.
    for step in -1000...1000 {
      let x = Float(1) + Float(step) * 0x1p-22
      let exact = Foundation.log(Double(x))
      if exact != 0 {
        worst = max(worst, abs(Double(PortableMath.log(x)) - exact) / Double(Float(exact).ulp))
      }
    }
    #expect(worst < 2, "\(worst)")
    #expect(PortableMath.log(1) == 0)
  }

  @Test("The exponential is within two units of the exact one")
  func exponential() {
    var random = SeededGenerator(seed: 2)
    var worst = 0.0
    for _ in 0..<20_000 {
      let x = -Float.random(in: 0...80, using: &random)
      let exact = Foundation.exp(Double(x))
      worst = max(worst, abs(Double(PortableMath.exp(x)) - exact) / Double(Float(exact).ulp))
    }
    #expect(worst < 2, "\(worst)")
    #expect(PortableMath.exp(0) == 1)
    #expect(PortableMath.exp(-.infinity) == 0)
    #expect(PortableMath.weight(0) == 1 << 40)
  }

  @Test("Gumbel noise is −ln(−ln(1 − v)) over the whole range of words")
  func gumbel() {
    var random = SeededGenerator(seed: 3)
    var words: [UInt32] = [0, 1, 2, 3, 0x3FFF_FFFF, 0x4000_0000, 0x4000_0001, .max - 1, .max]
    words += (0..<20_000).map { _ in UInt32.random(in: 0 ... .max, using: &random) }
    words += (0..<20_000).map { _ in UInt32.random(in: 0...0xFFFF, using: &random) }
    for word in words {
      let v = (Double(word) + 0.5) / 4_294_967_296
      let exact = -Foundation.log(-Foundation.log1p(-v))
      let noise = PortableMath.gumbel(word)
      #expect(abs(Double(noise) - exact) < 2e-6, "word \(word): \(noise) and \(exact)")
      #expect(noise <= PortableMath.gumbelBound(word))
      #expect(noise <= PortableMath.largestGumbel)
    }
  }

  /// A kernel that must give the same tokens can check itself against these bits.
  @Test("Noise and weights have these bits")
  func bits() {
    let words: [UInt32] = [0, 1, 0x3FFF_FFFF, 0x4000_0000, 0x8000_0000, 0xDEAD_BEEF, .max]
    #expect(words.map { PortableMath.gumbel($0).bitPattern } == goldenNoise)
    let exponents: [Float] = [0, -0.5, -1, -10.25, -27]
    #expect(exponents.map { PortableMath.weight($0) } == goldenWeights)
  }
  private let goldenNoise: [UInt32] = [
    1_102_511_529, 1_101_935_539, 1_067_415_969, 1_067_415_969, 1_052_485_525, 3_208_012_574, 3_225_965_013,
  ]
  private let goldenWeights: [UInt64] = [
    1_099_511_627_776, 666_887_520_256, 404_487_733_248, 38_875_984, 2,
  ]

  @Test("Sortable bits keep the order of floats and join the zeros")
  func sortable() {
    let values: [Float] = [
      -.infinity, -3e38, -1, -.leastNonzeroMagnitude, 0, .leastNonzeroMagnitude, 0.5, 1, 3e38, .infinity,
    ]
    let bits = values.map(PortableMath.sortable)
    #expect(bits == bits.sorted())
    #expect(Set(bits).count == values.count)
    #expect(PortableMath.sortable(-0.0) == PortableMath.sortable(0))
    #expect(bits.map(PortableMath.value) == values)
  }
}
