package import Numerics

/// Keeps bytes alive: either a device buffer, or memory somebody else owns (a mapped file).
@safe
package final class Storage {
  package let byteCount: Int
  private let base: UnsafeMutableRawPointer
  private let buffer: DeviceBuffer?
  private let owner: AnyObject?

  package init(_ buffer: consuming DeviceBuffer) {
    unsafe base = buffer.address
    byteCount = buffer.byteCount
    self.buffer = consume buffer
    owner = nil
  }

  /// Borrows read-only memory that stays valid while `owner` lives; nobody may write through it.
  package init(borrowing bytes: UnsafeRawBufferPointer, owner: AnyObject) {
    precondition(unsafe bytes.baseAddress != nil, "borrowed storage has no address")
    unsafe base = UnsafeMutableRawPointer(mutating: bytes.baseAddress.unsafelyUnwrapped)
    byteCount = bytes.count
    buffer = nil
    self.owner = owner
  }

  @unsafe package var address: UnsafeMutableRawPointer { unsafe base }
}

/// Row-major elements that keep their storage alive.
package struct Tensor {
  package let storage: Storage
  package let byteOffset: Int
  package let shape: Shape
  package let dataType: DataType

  /// - Precondition: the elements lie inside the storage.
  package init(storage: Storage, byteOffset: Int = 0, shape: Shape, dataType: DataType) {
    let bytes = shape.elementCount * dataType.byteCount
    precondition(byteOffset >= 0 && byteOffset + bytes <= storage.byteCount, "a tensor overruns its storage")
    self.storage = storage
    self.byteOffset = byteOffset
    self.shape = shape
    self.dataType = dataType
  }

  package var byteCount: Int { shape.elementCount * dataType.byteCount }

  /// Legal only while this tensor's storage lives.
  package var view: TensorView {
    unsafe TensorView(address: storage.address + byteOffset, shape: shape, dataType: dataType)
  }
}

/// Address, shape and type of elements that somebody else keeps alive. Trivially copyable.
///
/// Dimensions are contiguous except the outermost, whose step is `rowStride` elements: that is what a column
/// range of a fused projection needs.
@safe
package struct TensorView {
  private let base: UnsafeMutableRawPointer
  package let shape: Shape
  package let rowStride: Int
  package let dataType: DataType

  /// - Parameter rowStride: elements from one index of the first dimension to the next; contiguous if left out.
  package init(
    address: UnsafeMutableRawPointer, shape: Shape, rowStride: Int? = nil, dataType: DataType
  ) {
    unsafe base = address
    self.shape = shape
    self.rowStride = rowStride ?? shape.elementCount / Swift.max(shape[0], 1)
    self.dataType = dataType
  }

  @unsafe package var address: UnsafeMutableRawPointer { unsafe base }

  package var rows: Int { shape[0] }
  /// Elements of one row; known even when there are no rows.
  package var columns: Int {
    var product = 1
    for axis in 1..<Swift.max(shape.rank, 1) { product *= shape[axis] }
    return product
  }

  /// The first `count` rows.
  package func prefix(rows count: Int) -> TensorView { self.rows(0..<count) }

  /// A range of rows of a one- or two-dimensional view.
  package func rows(_ range: Range<Int>) -> TensorView {
    precondition(range.lowerBound >= 0 && range.upperBound <= rows, "row range outside the view")
    let offset = range.lowerBound * rowStride * dataType.byteCount
    let shape = self.shape.rank == 1 ? Shape(range.count) : Shape(range.count, columns)
    return unsafe TensorView(address: base + offset, shape: shape, rowStride: rowStride, dataType: dataType)
  }

  /// A range of columns of a two-dimensional view.
  package func columns(_ range: Range<Int>) -> TensorView {
    precondition(range.lowerBound >= 0 && range.upperBound <= columns, "column range outside the view")
    return unsafe TensorView(
      address: base + range.lowerBound * dataType.byteCount, shape: Shape(rows, range.count),
      rowStride: rowStride, dataType: dataType)
  }
}
