internal import Compute
internal import Numerics

/// Tensors in the process's own memory, made while a model is loaded.
enum HostTensor {
  /// Uninitialised elements, filled by `body` before anybody else sees them.
  static func make(
    _ dataType: DataType, _ shape: Shape, fill body: (UnsafeMutableRawBufferPointer) -> Void
  ) -> Tensor {
    let byteCount = shape.elementCount * dataType.byteCount
    let base = UnsafeMutableRawPointer.allocate(byteCount: Swift.max(byteCount, 1), alignment: 64)
    unsafe body(UnsafeMutableRawBufferPointer(start: base, count: byteCount))
    let buffer = unsafe DeviceBuffer(adopting: base, byteCount: byteCount) { unsafe $0.deallocate() }
    return Tensor(storage: Storage(buffer), shape: shape, dataType: dataType)
  }

  static func floats(_ values: [Float]) -> Tensor {
    unsafe make(.float32, Shape(values.count)) { bytes in
      unsafe values.withUnsafeBytes { unsafe bytes.copyMemory(from: $0) }
    }
  }
}
