internal import Glibc
internal import Generation
internal import Synchronization

/// Ctrl-C of a chat: it stops the answer that is being written, and otherwise ends the program.
final class Interrupts: Sendable {
  private enum State: UInt8, AtomicRepresentable { case ends, collects, hasCome }
  private let state = Atomic(State.ends)

  /// Blocks SIGINT in this thread and in all that it starts from now on, and takes it in one of its own: make
  /// this before the engine.
  init() throws(Failure) {
    var set = Self.interrupt
    unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    let thread = Thread(stackBytes: 256 << 10) { [self] in
      var set = Self.interrupt
      var signal: Int32 = 0
      while true {
        guard unsafe sigwait(&set, &signal) == 0 else { continue }
        let (_, before) = state.compareExchange(expected: .collects, desired: .hasCome, ordering: .relaxed)
        if before == .ends {
          Console.error("")
          _exit(128 + SIGINT)
        }
      }
    }
    guard let thread else { throw Failure(.internalError, "no thread could be started") }
    thread.detach()
  }

  /// From now on an interrupt is kept for `hasCome`, or ends the program again.
  func collect(_ collects: Bool) { state.store(collects ? .collects : .ends, ordering: .relaxed) }

  var hasCome: Bool { state.load(ordering: .relaxed) == .hasCome }

  private static var interrupt: sigset_t {
    var set = sigset_t()
    unsafe sigemptyset(&set)
    unsafe sigaddset(&set, SIGINT)
    return set
  }
}
