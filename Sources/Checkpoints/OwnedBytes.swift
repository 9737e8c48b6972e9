internal import Glibc

/// Memory for a tensor that could not be borrowed from its file: decoded, reordered, or badly aligned there.
@safe
final class OwnedBytes: Sendable {
  let byteCount: Int
  private let base: UInt

  /// Uninitialised, aligned to 64 bytes: a cache line, and wide enough for any vector load.
  init(byteCount: Int) {
    self.byteCount = byteCount
    let isLarge = byteCount >= 2 * Self.hugePage
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: max(byteCount, 1), alignment: isLarge ? Self.hugePage : 64)
    // Most of the time of filling fresh memory goes into faulting its small pages.
    if isLarge { unsafe madvise(memory, byteCount, MADV_HUGEPAGE) }
    base = UInt(bitPattern: memory)
  }

  private static let hugePage = 2 << 20

  deinit { unsafe UnsafeMutableRawPointer(bitPattern: base)?.deallocate() }

  /// To be filled by whoever made this object, before anybody else sees it.
  @unsafe var mutableBytes: UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(start: UnsafeMutableRawPointer(bitPattern: base), count: byteCount)
  }

  @unsafe var bytes: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(mutableBytes) }
}
