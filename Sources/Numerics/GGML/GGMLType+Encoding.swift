/// Encoding of float32 rows, bit for bit as ggml's reference quantisers (`quantize_row_*_ref`) and gguf-py do it.
extension GGMLType {
  /// The types `encode` can write.
  package static let encodable: [GGMLType] = [.f32, .f16, .bf16, .q80, .q40, .q4K, .q6K]

  /// The stored bytes of `values`; nil for a type that can only be read.
  ///
  /// NaN has no code in a quantised block and becomes the code of 0.
  ///
  /// - Precondition: `values` holds whole blocks.
  package func encode(_ values: [Float]) -> [UInt8]? {
    precondition(values.count % blockElements == 0, "a row of \(name) holds whole blocks")
    var bytes: [UInt8] = []
    bytes.reserveCapacity(values.count / blockElements * blockBytes)
    switch self {
    case .f32: for value in values { bytes.append(littleEndian: value.bitPattern) }
    case .f16: for value in values { bytes.append(littleEndian: value.float16Bits) }
    case .bf16: for value in values { bytes.append(littleEndian: BFloat16(value).bitPattern) }
    case .q80: encodeBlocks(values) { block in Self.encodeQ80(block, &bytes) }
    case .q40: encodeBlocks(values) { block in Self.encodeQ40(block, &bytes) }
    case .q4K: encodeBlocks(values) { block in Self.encodeQ4K(block, &bytes) }
    case .q6K: encodeBlocks(values) { block in Self.encodeQ6K(block, &bytes) }
    default: return nil
    }
    return bytes
  }

  private func encodeBlocks(_ values: [Float], _ encode: (ArraySlice<Float>) -> Void) {
    for start in stride(from: 0, to: values.count, by: blockElements) {
      encode(values[start..<start + blockElements])
    }
  }

  /// d = max |x| / 127; q = x / d, halves away from zero.
  private static func encodeQ80(_ block: ArraySlice<Float>, _ bytes: inout [UInt8]) {
    let d = block.reduce(0) { max($0, $1.magnitude) } / 127
    let inverse = d == 0 ? 0 : 1 / d
    bytes.append(littleEndian: d.float16Bits)
    for value in block {
      let q = (value * inverse).rounded(.toNearestOrAwayFromZero)
      bytes.append(UInt8(bitPattern: q.isNaN ? 0 : Int8(min(max(q, -127), 127))))
    }
  }

  /// The value of largest size becomes -8 (code 0), so that d has the other sign; q = ⌊x / d + 8.5⌋, at most 15.
  private static func encodeQ40(_ block: ArraySlice<Float>, _ bytes: inout [UInt8]) {
    let extreme = block.reduce(0) { $1.magnitude > $0.magnitude ? $1 : $0 }
    let d = extreme / -8
    let inverse = d == 0 ? 0 : 1 / d
    bytes.append(littleEndian: d.float16Bits)
    let codes = block.map { value in
      let q = value * inverse + 8.5
      return q.isNaN ? 8 : UInt8(min(max(q, 0), 15))
    }
    for index in 0..<16 { bytes.append(PackedInt4(low: codes[index], high: codes[index + 16]).byte) }
  }
}

extension [UInt8] {
  /// The bytes of a number, lowest first.
  package mutating func append(littleEndian number: some FixedWidthInteger) {
    for shift in stride(from: 0, to: number.bitWidth, by: 8) {
      append(UInt8(truncatingIfNeeded: number >> shift))
    }
  }
}
