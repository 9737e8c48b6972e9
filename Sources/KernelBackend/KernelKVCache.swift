internal import CKernels
package import Compute
internal import Numerics

/// Keys and values as the kernels read them: a head's 16 tokens of a block are contiguous.
///
/// ```
/// [layer][block][0 key, 1 value][head][16 tokens][component]
/// [layer][block][0 key, 1 value][head] { codes [16 tokens][component] | float32 scales [16 tokens] }     of 8 bits
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

  /// What the components are to the kernels.
  var codes: gpi_kernel_cache_codes {
    switch geometry.dataType {
    case .int8: GPI_KERNEL_CACHE_INT8
    case .float8E4M3: GPI_KERNEL_CACHE_FLOAT8
    default: GPI_KERNEL_CACHE_ELEMENTS
    }
  }

  @unsafe func layer(_ layer: Int) -> UnsafeMutableRawPointer {
    unsafe storage.address + 2 * geometry.bytesPerBlock(before: layer) * geometry.blockCount
  }
}
