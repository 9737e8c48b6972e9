package import Numerics

/// The shape of a paged key/value pool.
package struct KVCacheGeometry: Sendable, Equatable {
  package var layers: Int
  package var blockCount: Int
  /// Tokens in a block.
  package var blockSize: Int
  package var keyValueHeads: Int
  package var headDimension: Int
  /// Of keys and values: a float type, or `int8` or `float8E4M3` for codes with scales.
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

  /// Bytes of one head's key, or value, at one position: its elements, and the float32 scale of codes.
  package var headBytes: Int { headDimension * dataType.byteCount + dataType.cacheScaleBytes }

  /// Keys and values of one block over all layers.
  package var bytesPerBlock: Int { 2 * layers * blockSize * keyValueHeads * headBytes }
}

extension DataType {
  /// The types of 8 bits that keys and values can be cached in: each head's key, or value, at a position as codes of its
  /// own scale, which is its largest size / 127 or / 448.
  package static let cacheCodes: [DataType] = [.int8, .float8E4M3]

  /// Bytes of the scale that goes with each row of codes in a cache.
  package var cacheScaleBytes: Int { Self.cacheCodes.contains(self) ? 4 : 0 }
}

/// A pool of key/value blocks that one backend laid out as suits it.
package protocol KVCache: AnyObject {
  var geometry: KVCacheGeometry { get }
}
