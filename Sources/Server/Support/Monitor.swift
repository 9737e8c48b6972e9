internal import Generation

// ThreadSanitizer cannot see into `Synchronization.Mutex`, so what many threads share here is in monitors.
extension Monitor {
  /// Runs `body` alone, and passes its error on.
  func attempt<Result, Failure: Error>(
    _ body: (inout State) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let outcome: Swift.Result<Result, Failure> = withLock { state in
      do throws(Failure) { return .success(try body(&state)) } catch { return .failure(error) }
    }
    return try outcome.get()
  }

  /// Waits until `isReady` holds or the time has passed; `body` then sees the state.
  func wait<Result>(
    timeoutMilliseconds: Int?, until isReady: (State) -> Bool, then body: (inout State) -> Result
  ) -> Result {
    let deadline = MonotonicClock.deadline(milliseconds: timeoutMilliseconds)
    let found: Result? = wait(until: deadline) { state in isReady(state) ? .some(body(&state)) : .none }
    return found ?? withLock(body)
  }
}

extension MonotonicClock {
  var milliseconds: Int64 { Int64(now() / 1_000_000) }

  static var milliseconds: Int64 { system.milliseconds }

  static var seconds: Double { Double(systemTime()) / 1e9 }
}
