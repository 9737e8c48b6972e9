/// Memory on a device that the host fills anew for each step: tokens, positions, block tables, settings.
///
/// ```
/// host      | step n | …      | step n+1 | …        pinned, twice: one is filled while the other is read
///               │ one copy of what is used
/// device    | step n | …
/// ```
/// Belongs to the thread of its backend, as the backend does.
package protocol StepBlock: AnyObject {
  var byteCount: Int { get }
  /// On the device.
  @unsafe var address: UnsafeMutableRawPointer { get }

  /// Host memory for the next contents, as large as the block and aligned to 16 bytes; what lies in it is not defined. Waits
  /// until the device has read what was sent from there before.
  func open() throws(KernelError) -> UnsafeMutableRawPointer

  /// Enqueues one copy of some of what was opened, to the same places on the device.
  func send(_ range: Range<Int>) throws(KernelError)
}

/// The block of a backend that shares the host's memory and is done with its operations when they return: it is written
/// where it is read.
@safe
package final class SharedStepBlock: StepBlock {
  package let byteCount: Int
  package let address: UnsafeMutableRawPointer
  private let storage: Storage

  package init(in storage: Storage, from offset: Int, byteCount: Int) {
    precondition(offset >= 0 && offset + byteCount <= storage.byteCount, "a block outside of its memory")
    unsafe address = storage.address + offset
    self.byteCount = byteCount
    self.storage = storage
  }

  package func open() -> UnsafeMutableRawPointer { unsafe address }
  package func send(_ range: Range<Int>) {}
}
