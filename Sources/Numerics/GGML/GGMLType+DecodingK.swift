/// Decoding of the "K" types: super-blocks of 256 elements whose sub-blocks have small integer scales. As ggml does.
extension GGMLType {
  /// `scales[16] | qs[64] | d: f16 | dmin: f16`. A scale byte holds a scale (low nibble) and a minimum (high) for 16
  /// elements; 32 bytes of qs hold 4 × 32 elements, two bits each.
  func decodeQ2K(_ block: BlockReader, _ output: UnsafeMutablePointer<Float>) {
    let (d, dmin) = unsafe (block.half(80), block.half(82))
    for sub in 0..<16 {
      let scale = unsafe block.byte(sub)
      let (dl, ml) = (d * Float(scale & 15), dmin * Float(scale >> 4))
      // Sub-blocks in order: for each half of qs, for each shift, for each half of its 32 bytes.
      let (half, shift, first) = (sub / 8, UInt8(sub % 8 / 2 * 2), sub % 2 * 16)
      for l in 0..<16 {
        let q = unsafe block.byte(16 + half * 32 + first + l) &>> shift & 3
        unsafe output[sub * 16 + l] = dl * Float(q) - ml
      }
    }
  }

  /// `hmask[32] | qs[64] | scales[12] | d: f16`. Third bits in hmask: a clear bit subtracts 4. Sixteen 6-bit scales,
  /// less 32.
  func decodeQ3K(_ block: BlockReader, _ output: UnsafeMutablePointer<Float>) {
    let d = unsafe block.half(108)
    for sub in 0..<16 {
      let dl = unsafe d * Float(scaleQ3K(block, sub) - 32)
      let (half, shift, first) = (sub / 8, UInt8(sub % 8 / 2 * 2), sub % 2 * 16)
      let bit = UInt8(sub / 2)
      for l in 0..<16 {
        let low = unsafe block.byte(32 + half * 32 + first + l) &>> shift & 3
        let high = unsafe block.byte(first + l) &>> bit & 1
        unsafe output[sub * 16 + l] = dl * Float(Int32(low) + Int32(high) * 4 - 4)
      }
    }
  }

  /// Scale i: low 4 bits in a nibble of bytes 0–7, high 2 bits in bytes 8–11.
  private func scaleQ3K(_ block: BlockReader, _ index: Int) -> Int32 {
    let low = unsafe block.byte(96 + index % 8) >> (index / 8 * 4) & 15
    let high = unsafe block.byte(96 + 8 + index % 4) >> (index / 4 * 2) & 3
    return Int32(low | high &<< 4)
  }

  /// `d: f16 | dmin: f16 | scales[12] | qs[128]`. For each 64 elements 32 bytes: low nibbles, then high ones.
  func decodeQ4K(_ block: BlockReader, _ output: UnsafeMutablePointer<Float>) {
    let (d, dmin) = unsafe (block.half(0), block.half(2))
    for sub in 0..<8 {
      let (scale, minimum) = unsafe scaleAndMinimum(block, sub)
      let (dl, ml) = (d * Float(scale), dmin * Float(minimum))
      let (first, shift) = (16 + sub / 2 * 32, UInt8(sub % 2 * 4))
      for l in 0..<32 {
        let q = unsafe block.byte(first + l) &>> shift & 15
        unsafe output[sub * 32 + l] = dl * Float(q) - ml
      }
    }
  }

  /// `d: f16 | dmin: f16 | scales[12] | qh[32] | qs[128]`. Bit s of qh[l] is bit 4 of element l of sub-block s.
  func decodeQ5K(_ block: BlockReader, _ output: UnsafeMutablePointer<Float>) {
    let (d, dmin) = unsafe (block.half(0), block.half(2))
    for sub in 0..<8 {
      let (scale, minimum) = unsafe scaleAndMinimum(block, sub)
      let (dl, ml) = (d * Float(scale), dmin * Float(minimum))
      let (first, shift) = (48 + sub / 2 * 32, UInt8(sub % 2 * 4))
      for l in 0..<32 {
        let low = unsafe block.byte(first + l) &>> shift & 15
        let high = unsafe block.byte(16 + l) &>> UInt8(sub) & 1
        unsafe output[sub * 32 + l] = dl * Float(low | high &<< 4) - ml
      }
    }
  }

  /// Eight 6-bit scales and eight 6-bit minima in 12 bytes:
  ///
  ///     byte j     (0–3)   scale j in bits 0–5     | bits 4–5 of scale j + 4 in bits 6–7
  ///     byte j + 4         minimum j in bits 0–5   | bits 4–5 of minimum j + 4 in bits 6–7
  ///     byte j + 8         bits 0–3 of scale j + 4 | bits 0–3 of minimum j + 4 in bits 4–7
  private func scaleAndMinimum(_ block: BlockReader, _ j: Int) -> (scale: UInt8, minimum: UInt8) {
    let at = 4
    if j < 4 {
      return unsafe (block.byte(at + j) & 63, block.byte(at + j + 4) & 63)
    }
    let low = unsafe block.byte(at + j + 4)
    return unsafe (
      low & 15 | (block.byte(at + j - 4) >> 6) << 4,
      low >> 4 | (block.byte(at + j) >> 6) << 4
    )
  }

  /// `ql[128] | qh[64] | scales[16]: i8 | d: f16`. Per 128 elements 64 bytes of ql and 32 of qh; group g of 32 elements
  /// has its low bits in a nibble of ql and its upper two in bits 2g of qh; less 32. Scales are for 16 elements.
  func decodeQ6K(_ block: BlockReader, _ output: UnsafeMutablePointer<Float>) {
    let d = unsafe block.half(208)
    for sub in 0..<16 {
      let scale = unsafe d * Float(block.signed(192 + sub))
      let (half, group, start) = (sub / 8, sub % 8 / 2, sub % 2 * 16)
      let (first, shift) = (half * 64 + group % 2 * 32 + start, UInt8(group / 2 * 4))
      for l in 0..<16 {
        let low = unsafe block.byte(first + l) &>> shift & 15
        let high = unsafe block.byte(128 + half * 32 + start + l) &>> UInt8(group * 2) & 3
        unsafe output[sub * 16 + l] = scale * Float(Int32(low | high &<< 4) - 32)
      }
    }
  }
}
