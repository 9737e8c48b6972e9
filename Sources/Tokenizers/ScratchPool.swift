internal import Synchronization

/// Working memory that no call is using now: encoding leaves it for the next call on any thread.
///
/// Slots of retained references that threads exchange atomically; nobody ever waits. A call that finds all slots
/// empty makes new memory, one that finds them all taken frees its own.
final class ScratchPool: Sendable {
  private final class Box {
    var scratch: EncodeScratch
    init(_ scratch: EncodeScratch) { self.scratch = scratch }
  }

  /// The bits of an unmanaged reference to a `Box`; 0 is an empty slot.
  private let slots = InlineArray<8, Atomic<UInt>> { _ in Atomic(0) }

  func take() -> EncodeScratch {
    for index in slots.indices {
      if let box = claim(slots[index].exchange(0, ordering: .acquiringAndReleasing)) { return box.scratch }
    }
    return EncodeScratch()
  }

  func give(_ scratch: EncodeScratch) {
    let bits = unsafe UInt(bitPattern: Unmanaged.passRetained(Box(scratch)).toOpaque())
    for index in slots.indices
    where slots[index].compareExchange(expected: 0, desired: bits, ordering: .acquiringAndReleasing).exchanged
    {
      return
    }
    _ = claim(bits)
  }

  /// Takes the reference in the bits over, and with it the duty to release it.
  private func claim(_ bits: UInt) -> Box? {
    guard let pointer = unsafe UnsafeRawPointer(bitPattern: bits) else { return nil }
    return unsafe Unmanaged<Box>.fromOpaque(pointer).takeRetainedValue()
  }

  deinit {
    for index in slots.indices { _ = claim(slots[index].load(ordering: .acquiring)) }
  }
}
