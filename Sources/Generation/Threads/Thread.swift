internal import Glibc

/// An operating-system thread, to be joined or detached.
@safe
package struct Thread: ~Copyable, @unchecked Sendable {
  private let handle: pthread_t

  private final class Body {
    let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  /// nil when the system has no thread to give.
  package init?(stackBytes: Int = 1 << 20, _ run: @escaping @Sendable () -> Void) {
    var attributes = pthread_attr_t()
    unsafe pthread_attr_init(&attributes)
    defer { unsafe pthread_attr_destroy(&attributes) }
    unsafe pthread_attr_setstacksize(&attributes, stackBytes)
    let body = unsafe Unmanaged.passRetained(Body(run))
    var handle = pthread_t()
    let status = unsafe pthread_create(
      &handle, &attributes,
      { argument in
        if let argument = unsafe argument {
          unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
        }
        return nil
      }, body.toOpaque())
    guard status == 0 else {
      unsafe body.release()
      return nil
    }
    self.handle = handle
  }

  /// Lets it run on by itself.
  package consuming func detach() {}

  /// Waits for the thread to return.
  package consuming func join() {
    let handle = handle
    discard self
    pthread_join(handle, nil)
  }

  deinit { pthread_detach(handle) }
}
