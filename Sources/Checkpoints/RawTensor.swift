package import Numerics

/// The elements of one tensor, row-major, little-endian, aligned to their size at least.
///
/// They are borrowed from the mapped file where that is possible. `owner` keeps them alive; nobody may write to them.
@safe
package struct RawTensor: Sendable {
  package let name: String
  package let dataType: DataType
  /// Outermost first; empty for a scalar.
  package let shape: [Int]
  package let byteCount: Int
  package let owner: any AnyObject & Sendable
  private let base: UInt

  /// - Precondition: `bytes` is as long as the shape says and stays valid while `owner` lives.
  init(
    name: String, dataType: DataType, shape: [Int], bytes: UnsafeRawBufferPointer,
    owner: any AnyObject & Sendable
  ) {
    self.name = name
    self.dataType = dataType
    self.shape = shape
    self.owner = owner
    byteCount = bytes.count
    base = UInt(bitPattern: bytes.baseAddress)
  }

  package var elementCount: Int { byteCount / dataType.byteCount }

  /// Valid while `owner` lives. Has an address even when it is empty.
  @unsafe package var bytes: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: base), count: byteCount)
  }

  /// Calls `body` with the bytes, which may not outlive the call.
  package func withBytes<Result, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    defer { withExtendedLifetime(owner) {} }
    return try unsafe body(bytes)
  }

  /// All elements as float32: exact for every floating-point type but float64, which is rounded.
  ///
  /// - Throws: `cannotConvert` for integers and booleans.
  package func floats() throws(CheckpointError) -> [Float] {
    guard dataType.isFloatingPoint else {
      throw .cannotConvert(name: name, dataType: dataType.rawValue, to: "float32")
    }
    return unsafe [Float](unsafeUninitializedCapacity: elementCount) { buffer, count in
      unsafe copyFloats(into: buffer)
      count = elementCount
    }
  }

  /// Like `floats()`, into memory of the caller.
  ///
  /// - Precondition: a floating-point type, and `target` holds `elementCount` elements.
  package func copyFloats(into target: UnsafeMutableBufferPointer<Float>) {
    precondition(dataType.isFloatingPoint, "\(dataType.rawValue) elements are not floating-point")
    precondition(target.count >= elementCount, "the target is too small")
    unsafe withBytes { bytes in unsafe ElementConversion.widen(bytes, dataType, into: target) }
  }

  /// All elements of an integer or boolean tensor.
  ///
  /// - Throws: `cannotConvert` for floating-point types.
  package func integers() throws(CheckpointError) -> [Int64] {
    let integers = unsafe withBytes { bytes in unsafe ElementConversion.integers(bytes, dataType) }
    guard let integers else {
      throw .cannotConvert(name: name, dataType: dataType.rawValue, to: "int64")
    }
    return integers
  }
}

extension DataType {
  package var isFloatingPoint: Bool {
    switch self {
    case .float64, .float32, .float16, .bfloat16, .float8E4M3, .float8E5M2: true
    case .int64, .int32, .int16, .int8, .uint8, .bool: false
    }
  }
}
