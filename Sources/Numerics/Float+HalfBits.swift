/// Conversions between `Float` and the bits of 16-bit floats, for loops over weights.
///
/// `Float(Float16)` is a library call on a baseline x86-64, and the members of a `package` struct such as `BFloat16`
/// are not inlined into other modules. These are, and become vector code.
extension Float {
  /// The exact value of an IEEE binary16. A signalling NaN keeps its payload.
  @inlinable
  package init(float16Bits bits: UInt16) {
    let sign = UInt32(bits & 0x8000) << 16
    let magnitude = UInt32(bits & 0x7FFF) << 13
    // Read as binary32 the exponent is too small by 127 - 15; multiplying repairs subnormals too.
    let scaled = (Float(bitPattern: magnitude) * 0x1p112).bitPattern
    let special: UInt32 = magnitude >= 0x7C00 << 13 ? 0x7F80_0000 | magnitude : scaled
    self = Float(bitPattern: sign | special)
  }

  /// The exact value of a `BFloat16`.
  @inlinable
  package init(bfloat16Bits bits: UInt16) { self = Float(bitPattern: UInt32(bits) << 16) }

  /// Rounds to nearest, ties to even; what rounds above 65504 becomes infinity.
  package var float16Bits: UInt16 { Float16(self).bitPattern }
}
