internal import CCPUBackend
package import Compute
internal import Numerics

/// Keys and values of all layers in tiles of 16 positions, laid out for sixteen-lane arithmetic:
///
/// ```
/// keys    [layer][tile][head][component][16 positions]     scores: a lane is a key
/// values  [layer][tile][head][16 positions][component]     output: a lane is a component
/// ```
/// A block is `blockSize / 16` consecutive tiles. Codes of 8 bits lie in the same order, and each tile of a head is followed
/// by the float32 scales of its 16 positions.
package final class CPUKVCache: KVCache {
  package let geometry: KVCacheGeometry
  private let keys: Storage
  private let values: Storage

  /// Kernels read whole vectors, up to 15 elements past a row of values.
  static let slackBytes = 64

  init(geometry: KVCacheGeometry, keys: Storage, values: Storage) {
    self.geometry = geometry
    self.keys = keys
    self.values = values
  }

  var slotCount: Int { geometry.blockCount * geometry.blockSize }

  @unsafe func keys(ofLayer layer: Int) -> UnsafeMutableRawPointer {
    unsafe keys.address + geometry.bytesPerBlock(before: layer) * geometry.blockCount
  }
  @unsafe func values(ofLayer layer: Int) -> UnsafeMutableRawPointer {
    unsafe values.address + geometry.bytesPerBlock(before: layer) * geometry.blockCount
  }
}
