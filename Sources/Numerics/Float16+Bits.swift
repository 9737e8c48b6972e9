/// Conversions between `Float` and the bits of an IEEE binary16.
///
/// `Float(Float16)` is a library call on a baseline x86-64; reading a checkpoint does it once per weight, so
/// this one is plain arithmetic that the compiler turns into vector code.
extension Float {
  /// The exact value of a binary16. A signalling NaN keeps its payload.
  @inline(__always)
  package init(float16Bits bits: UInt16) {
    let sign = UInt32(bits & 0x8000) << 16
    let magnitude = UInt32(bits & 0x7FFF) << 13
    // Read as binary32 the exponent is too small by 127 - 15; multiplying repairs subnormals too.
    let scaled = (Float(bitPattern: magnitude) * 0x1p112).bitPattern
    let special: UInt32 = magnitude >= 0x7C00 << 13 ? 0x7F80_0000 | magnitude : scaled
    self = Float(bitPattern: sign | special)
  }

  /// Rounds to nearest, ties to even; what rounds above 65504 becomes infinity.
  package var float16Bits: UInt16 { Float16(self).bitPattern }
}
