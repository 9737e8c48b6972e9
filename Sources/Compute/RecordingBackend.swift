/// Work that was recorded; its operands' addresses are part of it.
package protocol RecordedWork: AnyObject {}

/// A backend that can record operations once and enqueue them again at the cost of one call, as CUDA graphs do.
package protocol RecordingBackend: Backend {
  /// Runs `body`, whose operations are recorded and not carried out. It must neither allocate, upload nor wait.
  ///
  /// - Throws: what `body` throws, and what the device says of the recording; then nothing is left of it.
  func record(_ body: () throws(KernelError) -> Void) throws(KernelError) -> any RecordedWork
  /// Enqueues recorded work: the same operations on the same addresses, whatever lies there now.
  func replay(_ work: any RecordedWork) throws(KernelError)
}
