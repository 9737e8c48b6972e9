internal import CCPUBackend
internal import Glibc

/// Weights in pages of 2 MiB. A step reads all of them, and with pages of 4 KiB a processor spends up to a quarter of
/// that on looking up addresses, most of all in a virtual machine, where each look-up is one of look-ups.
package enum HugePages {
  /// Bytes exchanged at once: as much memory more is needed for a moment.
  private static let piece = 32 * Int(GPI_HUGE_PAGE)

  /// Whether the system gives them to those who ask.
  package static var areAvailable: Bool {
    let enabled = SystemFile.text("/sys/kernel/mm/transparent_hugepage/enabled")
    return enabled.map { !$0.contains("[never]") } ?? false
  }

  /// Puts copies in huge pages in the place of mapped memory, the same bytes at the same addresses, while others may
  /// read it. The parts of pages at both ends stay as they are, and so does all from where memory runs short.
  ///
  /// - Parameters:
  ///   - bytes: a private, read-only mapping that nobody unmaps or advises meanwhile.
  ///   - spare: bytes of memory that must be left.
  ///   - keepGoing: asked before each piece.
  /// - Returns: the bytes moved.
  @unsafe
  package static func move(
    _ bytes: UnsafeRawBufferPointer, leaving spare: Int, keepGoing: () -> Bool = { true }
  ) -> Int {
    let page = Int(GPI_HUGE_PAGE)
    guard let base = bytes.baseAddress else { return 0 }
    let start = (UInt(bitPattern: base) + UInt(page) - 1) / UInt(page) * UInt(page)
    let end = (UInt(bitPattern: base) + UInt(bytes.count)) / UInt(page) * UInt(page)
    var next = start
    while next < end, keepGoing() {
      let count = min(piece, Int(end - next))
      if let available = AvailableMemory.bytes, available < count + spare { break }
      guard unsafe gpi_move_to_huge_pages(UnsafeMutableRawPointer(bitPattern: next), count) != 0 else {
        break
      }
      next += UInt(count)
    }
    return next > start ? Int(next - start) : 0
  }
}
