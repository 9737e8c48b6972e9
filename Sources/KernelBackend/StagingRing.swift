internal import Compute

/// Pinned buffers, used in turn, that uploads pass through: the caller's bytes are free again at once, and the copy runs
/// beside the host's work. For weights and tables; what a step sends has a block of its own (`KernelStepBlock`).
///
/// ```
/// upload n    host bytes ─ memcpy ─→ slot n % 4 ─ stream ─→ device,  event
/// upload n+4                         waits for that event first
/// ```
final class StagingRing {
  static let slotBytes = 4 << 20
  private static let slotCount = 4

  private struct Slot {
    let buffer: HostBuffer
    let event: KernelEvent
  }

  private let stream: KernelStream
  private let slots: [Slot]
  private var next = 0

  init(_ stream: KernelStream) throws(KernelError) {
    var slots: [Slot] = []
    for _ in 0..<Self.slotCount {
      slots.append(
        Slot(
          buffer: try HostBuffer(stream.device, byteCount: Self.slotBytes),
          event: try KernelEvent(stream.device)))
    }
    self.stream = stream
    self.slots = slots
  }

  /// Enqueues the copy of one contiguous piece, which `fill` writes.
  ///
  /// - Precondition: at most `slotBytes`.
  func upload(
    _ operation: String, byteCount: Int, to target: UnsafeMutableRawPointer,
    fill: (UnsafeMutableRawPointer) -> Void
  ) throws(KernelError) {
    precondition(byteCount <= Self.slotBytes, "a piece larger than a staging buffer")
    let slot = slots[next]
    next = (next + 1) % slots.count
    try slot.event.wait(for: operation, on: stream)
    unsafe fill(slot.buffer.base)
    try unsafe stream.send(operation, to: target, from: slot.buffer.base, byteCount: byteCount)
    try slot.event.record(on: stream)
  }
}
