internal import Synchronization

/// A thread that anybody may wait for, any number of times.
///
/// Device contexts and the engine's plain values belong to one thread for its whole life, which is more than
/// a task or an actor promises.
final class JoinableThread: Sendable {
  private let thread: Mutex<Thread?>
  private let hasEnded = Monitor(false)

  init(_ body: @escaping @Sendable () -> Void) throws(EngineError) {
    // The stack's pages are taken as they are touched.
    guard let thread = Thread(stackBytes: 8 << 20, body) else { throw .noThread }
    self.thread = Mutex(thread)
  }

  /// Waits until the function has returned. From any thread but its own; later callers wait for the first.
  func join() {
    if let mine = thread.withLock({ $0.take() }) {
      mine.join()
      hasEnded.update { $0 = true }
    } else {
      hasEnded.wait(until: nil) { $0 ? () : nil }
    }
  }
}
