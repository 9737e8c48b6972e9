internal import CKernels
internal import Glibc

/// A table of kernels: the emulated one that every build has, or libgpuinfer_cuda.so.
@safe
package final class KernelLibrary: Sendable {
  /// "simt" or "cuda".
  package let name: String
  /// Where it was loaded from; nil for the emulation.
  package let path: String?
  package let variants: [KernelVariant]
  /// Constant memory of a library that is never unloaded.
  nonisolated(unsafe) let table: UnsafePointer<gpi_kernel_table>

  init(_ table: UnsafePointer<gpi_kernel_table>, path: String?) {
    unsafe self.table = table
    self.path = path
    name = unsafe String(cString: table.pointee.name)
    variants = unsafe (0..<Int(table.pointee.variant_count)).map { index in
      unsafe KernelVariant(index, table.pointee.variants[index])
    }
  }

  /// The kernels under the SIMT emulation, which is part of this binary.
  package static let emulated: KernelLibrary = {
    guard let table = unsafe gpi_kernels(GPI_KERNEL_ABI) else {
      preconditionFailure("the emulated kernels and their header are of one build")
    }
    return unsafe KernelLibrary(table, path: nil)
  }()

  /// The variants of one operation, preferred ones first.
  package func variants(of operation: KernelOperation) -> [KernelVariant] {
    variants.filter { $0.operation == operation }
  }

  /// How many devices there are, at least one.
  package func deviceCount() throws(KernelLibraryError) -> Int {
    var count: Int32 = 0
    try check(unsafe table.pointee.device_count(&count))
    return Int(count)
  }

  func check(_ status: gpi_kernel_status) throws(KernelLibraryError) {
    switch status {
    case GPI_KERNEL_OK: return
    case GPI_KERNEL_NO_DRIVER: throw .noDriver(lastError)
    case GPI_KERNEL_NO_DEVICE: throw .noDevice(lastError)
    case GPI_KERNEL_UNSUPPORTED_DEVICE: throw .unsupportedDevice(lastError)
    default: throw .failed(lastError)
    }
  }

  /// The text of this thread's last failure.
  var lastError: String {
    unsafe Self.text(capacity: 1024) { text, capacity in unsafe table.pointee.last_error(text, capacity) }
  }

  /// Reads a text that C writes into a buffer.
  static func text(
    capacity: Int, _ body: (UnsafeMutablePointer<CChar>?, Int32) -> Void
  ) -> String {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: capacity) { buffer in
      guard let start = buffer.baseAddress else { return "" }
      unsafe start.initialize(to: 0)
      unsafe body(start, Int32(capacity))
      return unsafe String(cString: start)
    }
  }
}
