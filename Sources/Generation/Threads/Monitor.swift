internal import Glibc

/// State behind a mutex, with a condition on it: what blocks a thread until another one has changed the state.
///
/// `Synchronization.Mutex` has no condition, so this is a POSIX mutex and condition variable; waits count on
/// CLOCK_MONOTONIC, so that a changed wall clock neither wakes nor strands anybody.
@safe
package final class Monitor<State: Sendable>: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  /// Behind a pointer like the mutex that guards it: as a property, each use would be checked for overlap once more.
  private let state: UnsafeMutablePointer<State>
  private var waiters = 0

  package init(_ state: State) {
    unsafe self.state = .allocate(capacity: 1)
    unsafe self.state.initialize(to: state)
    unsafe mutex = .allocate(capacity: 1)
    unsafe condition = .allocate(capacity: 1)
    unsafe pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    unsafe pthread_condattr_init(&attributes)
    unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    unsafe pthread_cond_init(condition, &attributes)
    unsafe pthread_condattr_destroy(&attributes)
  }

  deinit {
    unsafe pthread_cond_destroy(condition)
    unsafe pthread_mutex_destroy(mutex)
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
    unsafe condition.deallocate()
    unsafe mutex.deallocate()
  }

  /// Runs `body` alone; must not block or call back into this monitor.
  package func withLock<Result>(_ body: (inout State) -> Result) -> Result {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    return unsafe body(&state.pointee)
  }

  /// Runs `body` alone, then wakes every waiter, if there is one, to look at the state again.
  package func update<Result>(_ body: (inout State) -> Result) -> Result {
    unsafe pthread_mutex_lock(mutex)
    let result = unsafe body(&state.pointee)
    let wakes = waiters > 0
    unsafe pthread_mutex_unlock(mutex)
    if wakes { unsafe pthread_cond_broadcast(condition) }
    return result
  }

  /// Blocks until `body` gives a value; nil when the deadline passes first.
  /// - Parameter deadline: nanoseconds on CLOCK_MONOTONIC; nil waits as long as it takes.
  package func wait<Result>(until deadline: UInt64?, for body: (inout State) -> Result?) -> Result? {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    waiters += 1
    defer { waiters -= 1 }
    while true {
      if let result = unsafe body(&state.pointee) { return result }
      guard let deadline else {
        unsafe pthread_cond_wait(condition, mutex)
        continue
      }
      var time = timespec(tv_sec: Int(deadline / 1_000_000_000), tv_nsec: Int(deadline % 1_000_000_000))
      if unsafe pthread_cond_timedwait(condition, mutex, &time) == ETIMEDOUT {
        return unsafe body(&state.pointee)
      }
    }
  }
}

/// Nanoseconds since some fixed moment; injected, so that tests decide what time it is.
package struct MonotonicClock: Sendable {
  package var now: @Sendable () -> UInt64

  package init(now: @escaping @Sendable () -> UInt64) { self.now = now }

  /// CLOCK_MONOTONIC.
  package static let system = MonotonicClock(now: { systemTime() })

  package static func systemTime() -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  /// The moment `milliseconds` from now on CLOCK_MONOTONIC, as `Monitor` counts; nil for nil.
  package static func deadline(milliseconds: Int?) -> UInt64? {
    guard let milliseconds else { return nil }
    let (nanoseconds, overflow) = UInt64(max(milliseconds, 0)).multipliedReportingOverflow(by: 1_000_000)
    if overflow { return nil }
    let (deadline, late) = systemTime().addingReportingOverflow(nanoseconds)
    return late ? nil : deadline
  }
}
