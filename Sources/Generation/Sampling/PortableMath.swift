/// Logarithm, exponential and Gumbel noise with one rounding rule, so that a GPU kernel gets the same bits.
///
/// Every operation below is an IEEE 754 binary32 addition, subtraction, multiplication or division rounded to
/// nearest-even, or an integer operation; none may be contracted into a fused multiply-add (CUDA: `__fadd_rn`,
/// `__fmul_rn`, `__fdiv_rn`; C++: `-ffp-contract=off`). Results are within 2 units in the last place of the
/// exact function on the ranges named, which is all that sampling needs; what matters is that they are equal.
package enum PortableMath {
  /// ln 2 in two parts: `ln2High` has 9 significant bits, so that a small integer times it is exact.
  static let ln2High: Float = 0.693359375
  static let ln2Low: Float = -2.12194440e-4

  /// `2 · artanh(s)` by its series, for |s| ≤ 0.1716.
  ///
  /// `z = s·s; p = z/9`-style Horner form: `((((1/9)·z + 1/7)·z + 1/5)·z + 1/3)·z`, then `2s + 2s·p`.
  @inline(__always)
  private static func twiceArtanh(_ s: Float) -> Float {
    let z = s * s
    var p = z * (1 / 9)
    p = (p + 1 / 7) * z
    p = (p + 1 / 5) * z
    p = (p + 1 / 3) * z
    let twice = s + s
    return twice + twice * p
  }

  /// Natural logarithm of a positive normal number.
  ///
  /// `x = 2^k · m` with `m` in [0.7071, 1.4142): `ln x = k·ln2High + (2·artanh((m−1)/(m+1)) + k·ln2Low)`.
  @inline(__always)
  package static func log(_ x: Float) -> Float {
    // Adding the distance from √½ to 1 to the bits moves numbers from √½·2^k on into the next binade.
    let shifted = x.bitPattern &+ (0x3F80_0000 &- 0x3F35_04F3)
    let exponent = Int32(truncatingIfNeeded: shifted &>> 23) &- 127
    let mantissa = Float(bitPattern: (shifted & 0x007F_FFFF) &+ 0x3F35_04F3)
    let k = Float(exponent)
    return k * ln2High + (twiceArtanh((mantissa - 1) / (mantissa + 1)) + k * ln2Low)
  }

  /// `e^x` for −80 ≤ x ≤ 0; 0 below that.
  ///
  /// `n = nearest(x · log₂e)`, `r = (x − n·ln2High) − n·ln2Low`, Taylor's polynomial of degree 7 in `r` by
  /// Horner, scaled by `2^n` exactly.
  @inline(__always)
  package static func exp(_ x: Float) -> Float {
    if x < -80 { return 0 }
    // 1.5·2^23: after the addition the low bits of the sum are the nearest integer, whatever the device.
    let magic: Float = 12_582_912
    let n = (x * 1.442695041 + magic) - magic
    let r = (x - n * ln2High) - n * ln2Low
    var p = r * (1 / 5040) + 1 / 720
    p = p * r + 1 / 120
    p = p * r + 1 / 24
    p = p * r + 1 / 6
    p = p * r + 0.5
    p = p * r + 1
    p = p * r + 1
    let power = UInt32(bitPattern: Int32(n) &+ 127) &<< 23
    return p * Float(bitPattern: power)
  }

  /// `e^x` in units of 2⁻⁴⁰, truncated, for x ≤ 0. Sums of these are integers: they do not depend on order.
  @inline(__always)
  package static func weight(_ x: Float) -> UInt64 {
    UInt64(exp(x) * 1_099_511_627_776)
  }

  /// Standard Gumbel noise of one random word: `−ln(E)` with the exponential `E = −ln(1 − v)`.
  ///
  /// `v = (Float(word) + ½) · 2⁻³²`. The race is won by small `E`, so those must be fine-grained:
  /// - `word < 2³⁰`: `E = 2·artanh(v / (2 − v))`, precise down to the least `v`, 2⁻³³;
  /// - otherwise: `E = −log(u)` with `u = (Float(~word) + ½) · 2⁻³²`.
  @inline(__always)
  package static func gumbel(_ word: UInt32) -> Float {
    let scale: Float = 0x1p-32
    let race: Float
    if word < 0x4000_0000 {
      let v = (Float(word) + 0.5) * scale
      race = twiceArtanh(v / (2 - v))
    } else {
      let u = (Float(~word) + 0.5) * scale
      race = -log(u)
    }
    return -log(race)
  }

  /// An upper bound of `gumbel(word)` from its leading zeros alone: `−ln v ≤ (zeros + 1) · ln 2`, with slack
  /// for rounding. It only skips work and is no part of the scheme.
  @inline(__always)
  static func gumbelBound(_ word: UInt32) -> Float {
    Float(word.leadingZeroBitCount &+ 1) * 0.69315 + 0.001
  }

  /// No word gives more noise than this.
  static let largestGumbel: Float = 22.9

  /// Order of floats as unsigned integers, −0 equal to +0.
  @inline(__always)
  static func sortable(_ value: Float) -> UInt32 {
    let bits = (value + 0).bitPattern
    return bits ^ (bits &>> 31 == 0 ? 0x8000_0000 : 0xFFFF_FFFF)
  }

  @inline(__always)
  static func value(sortable bits: UInt32) -> Float {
    Float(bitPattern: bits ^ (bits &>> 31 == 0 ? 0xFFFF_FFFF : 0x8000_0000))
  }
}
