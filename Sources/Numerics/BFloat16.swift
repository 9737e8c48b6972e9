/// The upper half of an IEEE 754 binary32: 1 sign, 8 exponent and 7 mantissa bits.
package struct BFloat16: Sendable, Hashable {
  package var bitPattern: UInt16

  package init(bitPattern: UInt16) { self.bitPattern = bitPattern }

  /// Rounds to nearest, ties to even, as the hardware's `cvt.rn.bf16.f32` does. Every NaN stays a (quiet) NaN.
  package init(_ value: Float) {
    let bits = value.bitPattern
    guard !value.isNaN else {
      bitPattern = UInt16(truncatingIfNeeded: bits >> 16) | 0x0040
      return
    }
    bitPattern = UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16)
  }

  package var float: Float { Float(bfloat16Bits: bitPattern) }
}
