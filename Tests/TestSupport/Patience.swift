/// How long a test waits for what must come, only so that a hang ends as a failure: beside all other tests, under a
/// sanitizer, on a busy machine, a thread may get its turn after many seconds.
package enum Patience {
  package static let milliseconds = 180_000
}
