internal import Numerics

/// Reading arrays of file elements, which may lie at any address.
enum ElementConversion {
  /// Converts as many elements as `bytes` holds. The type must be floating-point.
  static func widen(
    _ bytes: UnsafeRawBufferPointer, _ type: DataType, into target: UnsafeMutableBufferPointer<Float>
  ) {
    switch type {
    case .float32: unsafe map(bytes, into: target) { (bits: UInt32) in Float(bitPattern: bits) }
    case .float64: unsafe map(bytes, into: target) { (bits: UInt64) in Float(Double(bitPattern: bits)) }
    case .float16: unsafe map(bytes, into: target) { (bits: UInt16) in Float(float16Bits: bits) }
    case .bfloat16: unsafe map(bytes, into: target) { (bits: UInt16) in Float(bfloat16Bits: bits) }
    case .float8E4M3: unsafe map(bytes, into: target) { (bits: UInt8) in Float8E4M3(bitPattern: bits).float }
    case .float8E5M2: unsafe map(bytes, into: target) { (bits: UInt8) in Float8E5M2(bitPattern: bits).float }
    case .int64, .int32, .int16, .int8, .uint8, .bool:
      preconditionFailure("\(type.rawValue) elements are not floating-point")
    }
  }

  /// nil for a floating-point type.
  static func integers(_ bytes: UnsafeRawBufferPointer, _ type: DataType) -> [Int64]? {
    switch type {
    case .int64: unsafe elements(bytes, of: Int64.self)
    case .int32: unsafe elements(bytes, of: Int32.self)
    case .int16: unsafe elements(bytes, of: Int16.self)
    case .int8: unsafe elements(bytes, of: Int8.self)
    case .uint8, .bool: unsafe elements(bytes, of: UInt8.self)
    case .float64, .float32, .float16, .bfloat16, .float8E4M3, .float8E5M2: nil
    }
  }

  @inline(__always)
  private static func map<Bits: FixedWidthInteger>(
    _ bytes: UnsafeRawBufferPointer, into target: UnsafeMutableBufferPointer<Float>,
    _ convert: (Bits) -> Float
  ) {
    guard let source = bytes.baseAddress, let output = target.baseAddress else { return }
    let size = MemoryLayout<Bits>.size
    for index in 0..<bytes.count / size {
      let bits = unsafe source.loadUnaligned(fromByteOffset: index * size, as: Bits.self)
      unsafe output[index] = convert(bits)
    }
  }

  private static func elements<Element: FixedWidthInteger>(
    _ bytes: UnsafeRawBufferPointer, of type: Element.Type
  ) -> [Int64] {
    let size = MemoryLayout<Element>.size
    return (0..<bytes.count / size).map { index in
      unsafe Int64(truncatingIfNeeded: bytes.loadUnaligned(fromByteOffset: index * size, as: type))
    }
  }
}
