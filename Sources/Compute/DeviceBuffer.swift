/// Owns bytes on one device; they are given back exactly once, when the value ends.
///
/// The address is never null. On the CPU it may be dereferenced; on a GPU only kernels may.
@safe
package struct DeviceBuffer: ~Copyable {
  package let byteCount: Int
  private let base: UnsafeMutableRawPointer
  private let release: (UnsafeMutableRawPointer) -> Void

  /// Takes over `base`; `release` is called with it when the owner ends.
  package init(
    adopting base: UnsafeMutableRawPointer, byteCount: Int,
    release: @escaping (UnsafeMutableRawPointer) -> Void
  ) {
    unsafe self.base = base
    self.byteCount = byteCount
    unsafe self.release = release
  }

  /// Valid only while this buffer lives.
  @unsafe package var address: UnsafeMutableRawPointer { unsafe base }

  deinit { unsafe release(base) }
}
