internal import CKernels
internal import Compute

/// The backend's stream: work in order, and errors with the operation's name.
@safe
final class KernelStream {
  let device: KernelDevice
  let handle: OpaquePointer
  /// Copies from the host to the device so far.
  private(set) var sentCopies = 0

  init(_ device: KernelDevice) throws(KernelLibraryError) {
    var handle: OpaquePointer?
    try device.library.check(unsafe device.library.table.pointee.create_stream(device.context, &handle))
    guard let handle = unsafe handle else { throw .failed("no stream was made") }
    self.device = device
    unsafe self.handle = handle
  }

  deinit { unsafe device.library.table.pointee.destroy_stream(handle) }

  @unsafe var table: gpi_kernel_table { unsafe device.library.table.pointee }

  func synchronize(_ operation: String) throws(KernelError) {
    try check(unsafe table.synchronize(handle), operation)
  }

  func check(_ status: gpi_kernel_status, _ operation: String) throws(KernelError) {
    if status == GPI_KERNEL_OK { return }
    throw .device(operation: operation, code: Int(status.rawValue), message: device.library.lastError)
  }

  /// From the host to the device. The host's bytes must stay as they are until the stream has passed the copy.
  func send(
    _ operation: String, to target: UnsafeMutableRawPointer, from source: UnsafeRawPointer, byteCount: Int
  ) throws(KernelError) {
    sentCopies += 1
    try unsafe copy(
      operation, to: target, pitch: byteCount, from: source, pitch: byteCount, rowBytes: byteCount, rows: 1)
  }

  /// Rows from the device to the host, whose memory must live until the stream has passed the copy.
  func fetch(
    _ operation: String, to target: UnsafeMutableRawPointer, pitch targetPitch: Int,
    from source: UnsafeRawPointer, pitch sourcePitch: Int, rowBytes: Int, rows: Int
  ) throws(KernelError) {
    try unsafe copy(
      operation, to: target, pitch: targetPitch, from: source, pitch: sourcePitch, rowBytes: rowBytes,
      rows: rows)
  }

  private func copy(
    _ operation: String, to target: UnsafeMutableRawPointer, pitch targetPitch: Int,
    from source: UnsafeRawPointer, pitch sourcePitch: Int, rowBytes: Int, rows: Int
  ) throws(KernelError) {
    try check(
      unsafe table.copy(
        handle, target, Int64(targetPitch), source, Int64(sourcePitch), Int64(rowBytes), Int64(rows)),
      operation)
  }
}
