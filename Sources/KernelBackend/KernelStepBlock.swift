internal import Compute

/// A step's block on a device: two pinned copies on the host, used in turn.
@safe
final class KernelStepBlock: StepBlock {
  let byteCount: Int
  let address: UnsafeMutableRawPointer
  private let storage: Storage
  private let stream: KernelStream

  private struct Slot {
    let buffer: HostBuffer
    /// What was sent from it has been read.
    let sent: KernelEvent
  }
  private let slots: [Slot]
  private var next = 0

  init(_ stream: KernelStream, in storage: Storage, from offset: Int, byteCount: Int) throws(KernelError) {
    precondition(offset >= 0 && offset + byteCount <= storage.byteCount, "a block outside of its memory")
    var slots: [Slot] = []
    for _ in 0..<2 {
      slots.append(
        Slot(
          buffer: try HostBuffer(stream.device, byteCount: max(byteCount, 1)),
          sent: try KernelEvent(stream.device)))
    }
    unsafe address = storage.address + offset
    self.byteCount = byteCount
    self.storage = storage
    self.stream = stream
    self.slots = slots
  }

  func open() throws(KernelError) -> UnsafeMutableRawPointer {
    next = (next + 1) % slots.count
    let slot = slots[next]
    try slot.sent.wait(for: "step", on: stream)
    return unsafe slot.buffer.base
  }

  func send(_ range: Range<Int>) throws(KernelError) {
    precondition(range.lowerBound >= 0 && range.upperBound <= byteCount, "a step larger than its block")
    guard !range.isEmpty else { return }
    let slot = slots[next]
    try unsafe stream.send(
      "step", to: address + range.lowerBound, from: slot.buffer.base + range.lowerBound,
      byteCount: range.count)
    try slot.sent.record(on: stream)
  }
}
