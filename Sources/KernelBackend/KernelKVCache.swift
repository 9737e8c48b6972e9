package import Compute

/// Keys and values as the kernels read them: a head's 16 tokens of a block are contiguous.
///
/// ```
/// [layer][block][0 key, 1 value][head][16 tokens][component]
/// ```
package final class KernelKVCache: KVCache {
  package let geometry: KVCacheGeometry
  private let storage: Storage

  /// Tokens in a block.
  static let blockSize = 16

  init(geometry: KVCacheGeometry, storage: Storage) {
    self.geometry = geometry
    self.storage = storage
  }

  @unsafe func layer(_ layer: Int) -> UnsafeMutableRawPointer {
    unsafe storage.address + layer * (geometry.bytesPerBlock / geometry.layers) * geometry.blockCount
  }
}
