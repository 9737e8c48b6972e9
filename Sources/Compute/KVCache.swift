package import Numerics

/// The shape of a paged key/value pool.
package struct KVCacheGeometry: Sendable, Equatable {
  package var layers: Int
  package var blockCount: Int
  /// Tokens in a block.
  package var blockSize: Int
  /// Of a layer; the most of any where they differ.
  package var keyValueHeads: Int
  /// Heads of all layers before each layer, and of all; nil where every layer has as many.
  private var headStarts: [Int]?
  package var headDimension: Int
  /// Of keys and values: a float type, or `int8` or `float8E4M3` for codes with scales.
  package var dataType: DataType

  package init(
    layers: Int, blockCount: Int, blockSize: Int = 16, keyValueHeads: Int, headDimension: Int,
    dataType: DataType
  ) {
    headStarts = nil
    self.layers = layers
    self.blockCount = blockCount
    self.blockSize = blockSize
    self.keyValueHeads = keyValueHeads
    self.headDimension = headDimension
    self.dataType = dataType
  }

  /// A pool whose layers have these numbers of heads.
  ///
  /// - Precondition: at least one layer.
  package init(
    heads: [Int], blockCount: Int, blockSize: Int = 16, headDimension: Int, dataType: DataType
  ) {
    precondition(!heads.isEmpty, "a cache without layers")
    let most = heads.max() ?? 0
    self.init(
      layers: heads.count, blockCount: blockCount, blockSize: blockSize, keyValueHeads: most,
      headDimension: headDimension, dataType: dataType)
    guard heads.contains(where: { $0 != most }) else { return }
    headStarts = heads.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1) }
  }

  /// Heads of a layer.
  package func heads(of layer: Int) -> Int {
    headStarts.map { $0[layer + 1] - $0[layer] } ?? keyValueHeads
  }

  /// Heads of all layers before `layer`; those of all layers for `layers`.
  package func heads(before layer: Int) -> Int { headStarts?[layer] ?? layer * keyValueHeads }

  /// Bytes of one head's key, or value, at one position: its elements, and the float32 scale of codes.
  package var headBytes: Int { headDimension * dataType.byteCount + dataType.cacheScaleBytes }

  /// Keys and values of one block over all layers.
  package var bytesPerBlock: Int { 2 * bytesPerBlock(before: layers) }

  /// Keys, or values, of one block over the layers before `layer`.
  package func bytesPerBlock(before layer: Int) -> Int { heads(before: layer) * blockSize * headBytes }
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
