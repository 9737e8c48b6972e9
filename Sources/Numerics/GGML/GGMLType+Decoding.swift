/// Decoding of the types with blocks of 32 elements. Every formula and the order of its operations are ggml's
/// (`dequantize_row_*` in ggml-quants.c), so that results agree bit for bit with it and with gguf-py.
extension GGMLType {
  /// The elements of whole blocks; nil for a type that is not quantised, or part of a block.
  package func decode(_ bytes: [UInt8]) -> [Float]? {
    guard plainType == nil, bytes.count % blockBytes == 0 else { return nil }
    let elements = bytes.count / blockBytes * blockElements
    return unsafe [Float](unsafeUninitializedCapacity: elements) { buffer, count in
      unsafe bytes.withUnsafeBytes { source in unsafe decode(source, into: buffer) }
      count = elements
    }
  }

  /// Decodes whole blocks.
  ///
  /// - Precondition: a quantised type; `source` holds whole blocks and `target` all their elements.
  package func decode(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableBufferPointer<Float>) {
    let count = source.count / blockBytes
    precondition(count * blockElements <= target.count, "the target is too small for the blocks")
    for index in 0..<count {
      let block = unsafe BlockReader(source.baseAddress.unsafelyUnwrapped + index * blockBytes)
      let output = unsafe target.baseAddress.unsafelyUnwrapped + index * blockElements
      switch self {
      case .q40: unsafe decodeQ40(block, output)
      case .q41: unsafe decodeQ41(block, output)
      case .q50: unsafe decodeQ50(block, output)
      case .q51: unsafe decodeQ51(block, output)
      case .q80: unsafe decodeQ80(block, output)
      case .q2K: unsafe decodeQ2K(block, output)
      case .q3K: unsafe decodeQ3K(block, output)
      case .q4K: unsafe decodeQ4K(block, output)
      case .q5K: unsafe decodeQ5K(block, output)
      case .q6K: unsafe decodeQ6K(block, output)
      case .f32, .f16, .bf16, .f64, .i8, .i16, .i32, .i64:
        preconditionFailure("\(name) is not quantised")
      }
    }
  }

  /// `d: f16 | 16 bytes`; low nibbles are elements 0–15, high ones 16–31; y = (q − 8)·d.
  private func decodeQ40(_ block: BlockReader, _ output: UnsafeMutablePointer<Float>) {
    let d = unsafe block.half(0)
    for j in 0..<16 {
      let byte = unsafe block.byte(2 + j)
      unsafe output[j] = Float(Int32(byte & 15) - 8) * d
      unsafe output[j + 16] = Float(Int32(byte >> 4) - 8) * d
    }
  }

  /// `d: f16 | m: f16 | 16 bytes`; y = q·d + m.
  private func decodeQ41(_ block: BlockReader, _ output: UnsafeMutablePointer<Float>) {
    let (d, m) = unsafe (block.half(0), block.half(2))
    for j in 0..<16 {
      let byte = unsafe block.byte(4 + j)
      unsafe output[j] = Float(byte & 15) * d + m
      unsafe output[j + 16] = Float(byte >> 4) * d + m
    }
  }

  /// `d: f16 | fifth bits: u32 | 16 bytes`; bit i is bit 4 of element i; y = (q − 16)·d.
  private func decodeQ50(_ block: BlockReader, _ output: UnsafeMutablePointer<Float>) {
    let (d, high) = unsafe (block.half(0), block.word(2))
    for j in 0..<16 {
      let byte = unsafe UInt32(block.byte(6 + j))
      let (first, second) = (
        byte & 15 | (high &>> UInt32(j) & 1) << 4, byte >> 4 | (high &>> UInt32(j + 16) & 1) << 4
      )
      unsafe output[j] = Float(Int32(first) - 16) * d
      unsafe output[j + 16] = Float(Int32(second) - 16) * d
    }
  }

  /// `d: f16 | m: f16 | fifth bits: u32 | 16 bytes`; y = q·d + m.
  private func decodeQ51(_ block: BlockReader, _ output: UnsafeMutablePointer<Float>) {
    let (d, m, high) = unsafe (block.half(0), block.half(2), block.word(4))
    for j in 0..<16 {
      let byte = unsafe UInt32(block.byte(8 + j))
      let (first, second) = (
        byte & 15 | (high &>> UInt32(j) & 1) << 4, byte >> 4 | (high &>> UInt32(j + 16) & 1) << 4
      )
      unsafe output[j] = Float(first) * d + m
      unsafe output[j + 16] = Float(second) * d + m
    }
  }

  /// `d: f16 | 32 signed bytes`; y = q·d.
  private func decodeQ80(_ block: BlockReader, _ output: UnsafeMutablePointer<Float>) {
    let d = unsafe block.half(0)
    for j in 0..<32 { unsafe output[j] = Float(block.signed(2 + j)) * d }
  }
}

/// The bytes of one block, at no particular alignment.
@unsafe
struct BlockReader {
  private let base: UnsafeRawPointer

  init(_ base: UnsafeRawPointer) { unsafe self.base = base }

  @inline(__always)
  func byte(_ offset: Int) -> UInt8 { unsafe base.load(fromByteOffset: offset, as: UInt8.self) }

  @inline(__always)
  func signed(_ offset: Int) -> Int8 { unsafe base.load(fromByteOffset: offset, as: Int8.self) }

  @inline(__always)
  func word(_ offset: Int) -> UInt32 { unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }

  @inline(__always)
  func half(_ offset: Int) -> Float {
    unsafe Float(float16Bits: base.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }
}
