internal import Generation
internal import Glibc

/// SIGINT and SIGTERM, taken by a thread that waits for them instead of by a handler.
struct TerminationSignals {
  /// Blocks both signals in this thread and in all that it starts from now on.
  init() {
    var set = Self.both
    unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
  }

  /// Returns when one of them has come.
  func wait() {
    var set = Self.both
    var signal: Int32 = 0
    while unsafe sigwait(&set, &signal) != 0 {}
  }

  /// Lets the next one end the process at once, with the shell's code for it.
  func exitOnNext() {
    signal(SIGINT) { _exit(128 + $0) }
    signal(SIGTERM) { _exit(128 + $0) }
    var set = Self.both
    unsafe pthread_sigmask(SIG_UNBLOCK, &set, nil)
  }

  /// Calls `action` on a thread of its own for the first signal; the next one ends the process.
  func onFirst(_ action: @escaping @Sendable () -> Void) throws(Failure) {
    let thread = Thread(stackBytes: 256 << 10) {
      wait()
      exitOnNext()
      action()
    }
    guard let thread else { throw Failure(.internalError, "no thread could be started") }
    thread.detach()
  }

  private static var both: sigset_t {
    var set = sigset_t()
    unsafe sigemptyset(&set)
    unsafe sigaddset(&set, SIGINT)
    unsafe sigaddset(&set, SIGTERM)
    return set
  }
}
