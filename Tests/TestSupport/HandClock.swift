import Synchronization

/// Time that passes only when a test lets it: what depends on time then does not depend on the machine's speed.
package final class HandClock: Sendable {
  private let nanoseconds = Atomic<UInt64>(1_000_000_000)

  package init() {}

  package func now() -> UInt64 { nanoseconds.load(ordering: .relaxed) }

  package func advance(_ seconds: Double) { nanoseconds.add(UInt64(seconds * 1e9), ordering: .relaxed) }
}
