package import Numerics

/// How the elements of a tensor lie in its file.
package enum TensorStorage: Sendable, Hashable {
  case plain(DataType)
  /// Blocks of a ggml quantisation, decoded to float32 when read.
  case blocks(GGMLType)
}

/// Where one tensor of a checkpoint lies, under the name a model asks for.
package struct TensorEntry: Sendable, Equatable {
  package let name: String
  /// The type of the elements `Checkpoint.rawTensor` gives: float32 for quantised blocks.
  package let dataType: DataType
  /// Outermost first, as Hugging Face names it; empty for a scalar. Any extent may be 0.
  package let shape: [Int]
  package let storage: TensorStorage
  /// Place in `Checkpoint.files`.
  package let file: Int
  /// Bytes from the start of the file; checked to lie inside it.
  package let byteRange: Range<Int>

  package init(
    name: String, dataType: DataType, shape: [Int], storage: TensorStorage, file: Int,
    byteRange: Range<Int>
  ) {
    self.name = name
    self.dataType = dataType
    self.shape = shape
    self.storage = storage
    self.file = file
    self.byteRange = byteRange
  }

  /// Whoever made the entry has checked that the product fits.
  package var elementCount: Int { shape.reduce(1, *) }
}

/// Element and byte counts of a shape read from a file.
enum CheckedSize {
  /// The product of the extents, or nil when one is negative or the product, taken without zeros, overflows.
  static func elements(of shape: [Int]) -> Int? {
    var product = 1
    var isEmpty = false
    for extent in shape {
      guard extent >= 0 else { return nil }
      isEmpty = isEmpty || extent == 0
      let (next, overflow) = product.multipliedReportingOverflow(by: max(extent, 1))
      guard !overflow else { return nil }
      product = next
    }
    return isEmpty ? 0 : product
  }

  /// Bytes of `shape` in elements of `size`, or nil where they overflow.
  static func bytes(of shape: [Int], elementSize size: Int) -> Int? {
    guard let elements = elements(of: shape) else { return nil }
    let (bytes, overflow) = elements.multipliedReportingOverflow(by: size)
    return overflow ? nil : bytes
  }
}
