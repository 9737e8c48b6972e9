internal import Glibc

/// One POSIX thread that runs one function; joined once.
///
/// Device contexts and the engine's plain values belong to one thread for its whole life, which is more than
/// a task or an actor promises.
@safe
final class EngineThread: Sendable {
  private final class Start: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  private enum Life: Sendable {
    case running(pthread_t)
    case joining
    case joined
  }
  private let life: Monitor<Life>

  init(_ body: @escaping @Sendable () -> Void) throws(EngineError) {
    let start = unsafe Unmanaged.passRetained(Start(body))
    var thread = pthread_t()
    let code = unsafe pthread_create(
      &thread, nil,
      { context in
        guard let context = unsafe context else { return nil }
        let start = unsafe Unmanaged<Start>.fromOpaque(context).takeRetainedValue()
        start.body()
        return nil
      }, unsafe start.toOpaque())
    if code != 0 {
      unsafe start.release()
      throw .noThread(code: code)
    }
    life = Monitor(.running(thread))
  }

  deinit {
    if case .running(let thread) = life.withLock({ $0 }) { pthread_detach(thread) }
  }

  /// Waits until the function has returned. From any thread but its own; later callers wait for the first.
  func join() {
    let mine = life.withLock { life -> pthread_t? in
      guard case .running(let thread) = life else { return nil }
      life = .joining
      return thread
    }
    if let mine {
      pthread_join(mine, nil)
      life.update { $0 = .joined }
    } else {
      life.wait(until: nil) { life in
        if case .joined = life { return () }
        return nil
      }
    }
  }
}
