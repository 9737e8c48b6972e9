package import Numerics

/// Tensors in the process's own memory: what readers and loaders make when the file's bytes cannot be used as they lie.
package enum HostTensor {
  /// Uninitialised elements, filled by `body` before anybody else sees them.
  package static func make<Failure: Error>(
    _ dataType: DataType, _ shape: Shape,
    fill body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Void
  ) throws(Failure) -> Tensor {
    let byteCount = shape.elementCount * dataType.byteCount
    let base = UnsafeMutableRawPointer.allocate(byteCount: Swift.max(byteCount, 1), alignment: 64)
    let buffer = unsafe DeviceBuffer(adopting: base, byteCount: byteCount) { unsafe $0.deallocate() }
    try unsafe body(UnsafeMutableRawBufferPointer(start: base, count: byteCount))
    return Tensor(storage: Storage(buffer), shape: shape, dataType: dataType)
  }

  package static func floats(_ values: [Float]) -> Tensor {
    copy(values, .float32, Shape(values.count))
  }

  /// The bytes of `elements` under a type and shape that describe as many.
  package static func copy<Element: BitwiseCopyable>(
    _ elements: [Element], _ dataType: DataType, _ shape: Shape
  ) -> Tensor {
    precondition(
      elements.count * MemoryLayout<Element>.stride == shape.elementCount * dataType.byteCount,
      "\(elements.count) elements do not fill \(shape)")
    return unsafe make(dataType, shape) { bytes in
      unsafe elements.withUnsafeBytes { unsafe bytes.copyMemory(from: $0) }
    }
  }
}
