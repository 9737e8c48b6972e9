internal import Glibc

/// Cosines and sines for every position and pair, the operand of `Backend.rope`.
///
/// ```
/// row p    | cos₀ cos₁ … cos₍d/2−1₎ | sin₀ sin₁ … sin₍d/2−1₎ |      d = rotaryDimension, float32
/// ```
/// The angle is the float32 product of position and frequency, as in Hugging Face; its cosine and sine are
/// rounded once.
package enum RopeTable {
  /// Fills `table`, float32 `[positions.count, 2 · frequencies.count]`.
  package static func fill(
    _ table: UnsafeMutableBufferPointer<Float>, positions: Range<Int>, frequencies: [Float],
    attentionFactor: Float
  ) {
    let pairs = frequencies.count
    precondition(table.count == positions.count * 2 * pairs, "the table has another size")
    for position in positions {
      let row = (position - positions.lowerBound) * 2 * pairs
      for pair in 0..<pairs {
        let angle = Double(Float(position) * frequencies[pair])
        unsafe table[row + pair] = Float(cos(angle)) * attentionFactor
        unsafe table[row + pairs + pair] = Float(sin(angle)) * attentionFactor
      }
    }
  }

  /// Fills row `row` of `table` for one position, however large: the angle's product is not rounded to float32.
  static func fill(
    _ table: UnsafeMutableBufferPointer<Float>, row: Int, position: Int, frequencies: [Float],
    attentionFactor: Float
  ) {
    let pairs = frequencies.count
    let start = row * 2 * pairs
    for pair in 0..<pairs {
      let angle = Double(position) * Double(frequencies[pair])
      unsafe table[start + pair] = Float(cos(angle)) * attentionFactor
      unsafe table[start + pairs + pair] = Float(sin(angle)) * attentionFactor
    }
  }
}
