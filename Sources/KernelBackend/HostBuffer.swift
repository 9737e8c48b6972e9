internal import CKernels
internal import Compute

/// Host memory that a device copies from and to directly.
@safe
final class HostBuffer {
  let byteCount: Int
  let base: UnsafeMutableRawPointer
  private let device: KernelDevice

  init(_ device: KernelDevice, byteCount: Int) throws(KernelError) {
    var base: UnsafeMutableRawPointer?
    device.allocations += 1
    let status = unsafe device.library.table.pointee.allocate_host(device.context, Int64(byteCount), &base)
    guard status == GPI_KERNEL_OK, let base = unsafe base else {
      throw .outOfMemory(requestedBytes: byteCount, availableBytes: nil)
    }
    unsafe self.base = base
    self.byteCount = byteCount
    self.device = device
  }

  deinit { unsafe device.library.table.pointee.release_host(device.context, base) }
}

/// A moment in a stream.
@safe
final class KernelEvent {
  private let device: KernelDevice
  private let handle: OpaquePointer

  init(_ device: KernelDevice) throws(KernelError) {
    var handle: OpaquePointer?
    let status = unsafe device.library.table.pointee.create_event(device.context, &handle)
    guard status == GPI_KERNEL_OK, let handle = unsafe handle else {
      throw .device(
        operation: "event", code: Int(status.rawValue), message: device.library.lastError)
    }
    self.device = device
    unsafe self.handle = handle
  }

  deinit { unsafe device.library.table.pointee.destroy_event(handle) }

  func record(on stream: KernelStream) throws(KernelError) {
    try stream.check(unsafe stream.table.record(handle, stream.handle), "record")
  }

  /// Waits until the stream has passed the last `record`; at once when there was none.
  func wait(for operation: String, on stream: KernelStream) throws(KernelError) {
    try stream.check(unsafe stream.table.synchronize_event(handle), operation)
  }

  /// Waits for this event, which was recorded after `start`, and gives the time between them on the device.
  func microseconds(since start: KernelEvent, on stream: KernelStream) throws(KernelError) -> Double {
    try wait(for: "time", on: stream)
    var milliseconds: Float = 0
    try stream.check(unsafe stream.table.elapsed(start.handle, handle, &milliseconds), "time")
    return Double(milliseconds) * 1000
  }
}
