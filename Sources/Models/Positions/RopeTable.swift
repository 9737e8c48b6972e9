internal import Glibc

/// Cosines and sines for every position and pair, the operand of `Backend.rope`.
///
/// ```
/// row p    | cos₀ cos₁ … cos₍d/2−1₎ | sin₀ sin₁ … sin₍d/2−1₎ |      d = rotaryDimension, float32
/// ```
/// The angle is the float32 product of position and frequency, as in Hugging Face; its cosine and sine are
/// rounded once.
package enum RopeTable {
  /// Bytes of the table, nil when they overflow.
  package static func byteCount(positions: Int, rotaryDimension: Int) -> Int? {
    let (elements, overflow) = positions.multipliedReportingOverflow(by: rotaryDimension)
    let (bytes, bytesOverflow) = elements.multipliedReportingOverflow(by: 4)
    return overflow || bytesOverflow ? nil : bytes
  }

  /// Fills `table`, float32 `[positions, 2 · frequencies.count]`.
  package static func fill(
    _ table: UnsafeMutableBufferPointer<Float>, frequencies: [Float], attentionFactor: Float
  ) {
    let pairs = frequencies.count
    guard pairs > 0 else { return }
    let positions = table.count / (2 * pairs)
    for position in 0..<positions {
      let row = position * 2 * pairs
      for pair in 0..<pairs {
        let angle = Double(Float(position) * frequencies[pair])
        unsafe table[row + pair] = Float(cos(angle)) * attentionFactor
        unsafe table[row + pairs + pair] = Float(sin(angle)) * attentionFactor
      }
    }
  }
}
