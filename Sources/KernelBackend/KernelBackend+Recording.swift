internal import CKernels
package import Compute

extension KernelBackend: RecordingBackend {
  package func record(
    _ body: () throws(KernelError) -> Void
  ) throws(KernelError) -> any RecordedWork {
    try stream.check(unsafe stream.table.begin_capture(stream.handle), "record")
    isRecording = true
    var failure: KernelError?
    do throws(KernelError) { try body() } catch { failure = error }
    isRecording = false
    var handle: OpaquePointer?
    let status = unsafe stream.table.end_capture(stream.handle, &handle)
    let graph = unsafe handle.map { unsafe KernelGraph(stream.device, $0) }
    if let failure { throw failure }
    try stream.check(status, "record")
    guard let graph else {
      throw .device(operation: "record", code: Int(status.rawValue), message: "no graph was made")
    }
    return graph
  }

  package func replay(_ work: any RecordedWork) throws(KernelError) {
    guard let graph = work as? KernelGraph else {
      throw .unsupported(operation: "replay", reason: "the work was recorded by another backend")
    }
    try stream.check(unsafe stream.table.launch_graph(graph.handle, stream.handle), "replay")
  }
}

/// Owns a recorded graph.
@safe
final class KernelGraph: RecordedWork {
  private let device: KernelDevice
  let handle: OpaquePointer

  init(_ device: KernelDevice, _ handle: OpaquePointer) {
    self.device = device
    unsafe self.handle = handle
  }

  deinit { unsafe device.library.table.pointee.destroy_graph(handle) }
}
