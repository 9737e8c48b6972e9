/// An 8-bit float with 4 exponent and 3 mantissa bits, bias 7 ("FP8 Formats for Deep Learning", arXiv 2209.05433).
///
/// There is no infinity: `S.1111.111` is NaN and every other code is finite, up to 448. This is the `float8_e4m3fn`
/// of PyTorch and the `F8_E4M3` of safetensors.
package struct Float8E4M3: Sendable, Hashable {
  package static let greatestFinite: Float = 448
  package var bitPattern: UInt8

  package init(bitPattern: UInt8) { self.bitPattern = bitPattern }

  /// Rounds to nearest, ties to even. What rounds above 448 becomes NaN, as in PyTorch.
  package init(_ value: Float) {
    let code = Minifloat.encode(magnitudeOf: value, mantissaBits: 3, bias: 7)
    let isFinite = !value.isNaN && code < 0x7F
    bitPattern = Minifloat.sign(of: value) | (isFinite ? UInt8(code) : 0x7F)
  }

  /// Rounds to nearest, ties to even; what is larger than 448, infinity too, becomes 448. NaN stays NaN.
  package init(saturating value: Float) {
    let code = Minifloat.encode(magnitudeOf: value, mantissaBits: 3, bias: 7)
    bitPattern = Minifloat.sign(of: value) | (value.isNaN ? 0x7F : UInt8(min(code, 0x7E)))
  }

  package var float: Float {
    let code = UInt32(bitPattern & 0x7F)
    let magnitude = code == 0x7F ? Float.nan : Minifloat.decode(code, mantissaBits: 3, bias: 7)
    return bitPattern & 0x80 == 0 ? magnitude : -magnitude
  }
}

/// An 8-bit float with 5 exponent and 2 mantissa bits, bias 15: the upper half of an IEEE binary16, with
/// infinities and NaN. The `float8_e5m2` of PyTorch and the `F8_E5M2` of safetensors.
package struct Float8E5M2: Sendable, Hashable {
  package static let greatestFinite: Float = 57344
  package var bitPattern: UInt8

  package init(bitPattern: UInt8) { self.bitPattern = bitPattern }

  /// Rounds to nearest, ties to even. What rounds above 57344 becomes infinity.
  package init(_ value: Float) {
    let code = Minifloat.encode(magnitudeOf: value, mantissaBits: 2, bias: 15)
    bitPattern = Minifloat.sign(of: value) | (value.isNaN ? 0x7E : UInt8(min(code, 0x7C)))
  }

  /// Rounds to nearest, ties to even; what is larger than 57344, infinity too, becomes 57344. NaN stays NaN.
  package init(saturating value: Float) {
    let code = Minifloat.encode(magnitudeOf: value, mantissaBits: 2, bias: 15)
    bitPattern = Minifloat.sign(of: value) | (value.isNaN ? 0x7E : UInt8(min(code, 0x7B)))
  }

  package var float: Float { Float(float16Bits: UInt16(bitPattern) << 8) }
}

/// What the two 8-bit formats share: sign, exponent and mantissa side by side, with subnormals.
private enum Minifloat {
  static func sign(of value: Float) -> UInt8 { value.sign == .minus ? 0x80 : 0 }

  /// The code of `|value|`, rounded to nearest even as if the exponent had no upper end. The caller cuts it.
  static func encode(magnitudeOf value: Float, mantissaBits: UInt32, bias: UInt32) -> UInt32 {
    let magnitude = value.magnitude
    guard magnitude < .infinity else { return .max }
    let smallestNormal = Float(bitPattern: (128 - bias) << 23)
    if magnitude < smallestNormal {
      // One unit of a subnormal is smallestNormal / 2^mantissaBits; both scalings are exact.
      let units = magnitude / smallestNormal * Float(1 << mantissaBits)
      return UInt32(units.rounded(.toNearestOrEven))
    }
    let shift = 23 - mantissaBits
    let bits = magnitude.bitPattern
    let rounded = bits + ((1 << (shift - 1)) - 1) + ((bits >> shift) & 1)
    return (rounded >> shift) - ((127 - bias) << mantissaBits)
  }

  static func decode(_ code: UInt32, mantissaBits: UInt32, bias: UInt32) -> Float {
    if code >> mantissaBits == 0 {
      return Float(code) * Float(bitPattern: (128 - bias - mantissaBits) << 23)
    }
    return Float(bitPattern: (code << (23 - mantissaBits)) + ((127 - bias) << 23))
  }
}
