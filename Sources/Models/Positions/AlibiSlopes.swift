internal import Glibc

/// The slopes of Attention with Linear Biases (Press, Smith, Lewis 2022), as BLOOM was trained with.
package enum AlibiSlopes {
  /// float32 `[heads]`.
  ///
  /// With `n` the greatest power of two not above `heads`, the first `n` slopes are `2^(−8·i/n)`, i = 1…n; the
  /// others are every second slope of the series for `2n`: `2^(−4·i/n)`, i = 1, 3, 5, …
  package static func slopes(heads: Int) -> [Float] {
    precondition(heads > 0, "attention has at least one head")
    let power = 1 << (Int.bitWidth - 1 - heads.leadingZeroBitCount)
    return (0..<heads).map { head in
      let exponent =
        head < power
        ? -8 * Double(head + 1) / Double(power) : -4 * Double(2 * (head - power) + 1) / Double(power)
      return Float(exp2(exponent))
    }
  }
}
