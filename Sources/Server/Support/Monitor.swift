internal import Glibc

/// A value behind a lock whose changes threads can wait for (the standard library's `Mutex` cannot be waited on).
@safe
package final class Monitor<Value>: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  private var value: Value

  package init(_ value: sending Value) {
    self.value = value
    unsafe mutex = .allocate(capacity: 1)
    unsafe mutex.initialize(to: pthread_mutex_t())
    unsafe pthread_mutex_init(mutex, nil)
    unsafe condition = .allocate(capacity: 1)
    unsafe condition.initialize(to: pthread_cond_t())
    var attributes = pthread_condattr_t()
    unsafe pthread_condattr_init(&attributes)
    unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    unsafe pthread_cond_init(condition, &attributes)
    unsafe pthread_condattr_destroy(&attributes)
  }

  deinit {
    unsafe pthread_cond_destroy(condition)
    unsafe condition.deallocate()
    unsafe pthread_mutex_destroy(mutex)
    unsafe mutex.deallocate()
  }

  /// Reads or changes the value; waiters look at it again afterwards.
  package func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
    unsafe pthread_mutex_lock(mutex)
    defer {
      unsafe pthread_cond_broadcast(condition)
      unsafe pthread_mutex_unlock(mutex)
    }
    return try body(&value)
  }

  /// Waits until `isReady` holds or the time has passed; `body` then sees the value under the same lock.
  package func wait<Result>(
    timeoutMilliseconds: Int?, until isReady: (Value) -> Bool, then body: (inout Value) -> Result
  ) -> Result {
    let deadline = timeoutMilliseconds.map { MonotonicClock.milliseconds &+ Int64(max(0, $0)) }
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    while !isReady(value) {
      guard let deadline else {
        unsafe pthread_cond_wait(condition, mutex)
        continue
      }
      if MonotonicClock.milliseconds >= deadline { break }
      var time = timespec(
        tv_sec: Int(deadline / 1000), tv_nsec: Int(deadline % 1000) * 1_000_000)
      unsafe pthread_cond_timedwait(condition, mutex, &time)
    }
    return body(&value)
  }
}

/// Time that never jumps.
package enum MonotonicClock {
  package static var nanoseconds: Int64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
  }

  package static var milliseconds: Int64 { nanoseconds / 1_000_000 }

  package static var seconds: Double { Double(nanoseconds) / 1e9 }
}
