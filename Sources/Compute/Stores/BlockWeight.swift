package import Numerics

/// The blocks of a quantised ggml type, as a GGUF file has them.
package struct BlockWeight {
  package let outputs: Int
  package let inputs: Int
  /// A quantised type.
  package let type: GGMLType
  /// uint8 `[N, K / blockElements · blockBytes]`.
  package let blocks: Tensor

  /// - Throws: for a type that is not quantised, rows that are no whole blocks, or blocks of another shape.
  package init(outputs: Int, inputs: Int, type: GGMLType, blocks: Tensor) throws(StoreError) {
    guard type.plainType == nil else { throw .notQuantised(type) }
    guard inputs > 0, inputs % type.blockElements == 0 else {
      throw .partialBlock(inputs: inputs, block: type.blockElements)
    }
    try StoreChecks.tensor(
      blocks, "blocks", [outputs, inputs / type.blockElements * type.blockBytes], [.uint8])
    self.outputs = outputs
    self.inputs = inputs
    self.type = type
    self.blocks = blocks
  }

  package var byteCount: Int { blocks.byteCount }

  /// One row of W, bit for bit as ggml decodes it.
  package func copyRow(_ row: Int, into target: UnsafeMutableBufferPointer<Float>) {
    let bytes = blocks.shape[1]
    unsafe type.decode(
      UnsafeRawBufferPointer(start: blocks.view.address + row * bytes, count: bytes), into: target)
  }
}
