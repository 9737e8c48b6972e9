package import Numerics

/// The shape of a paged key/value pool.
package struct KVCacheGeometry: Sendable, Equatable {
  package var layers: Int
  package var blockCount: Int
  /// Tokens in a block.
  package var blockSize: Int
  package var keyValueHeads: Int
  package var headDimension: Int
  package var dataType: DataType

  package init(
    layers: Int, blockCount: Int, blockSize: Int = 16, keyValueHeads: Int, headDimension: Int,
    dataType: DataType
  ) {
    self.layers = layers
    self.blockCount = blockCount
    self.blockSize = blockSize
    self.keyValueHeads = keyValueHeads
    self.headDimension = headDimension
    self.dataType = dataType
  }

  /// Keys and values of one block over all layers.
  package var bytesPerBlock: Int {
    2 * layers * blockSize * keyValueHeads * headDimension * dataType.byteCount
  }
}

/// A pool of key/value blocks that one backend laid out as suits it.
package protocol KVCache: AnyObject {
  var geometry: KVCacheGeometry { get }
}
