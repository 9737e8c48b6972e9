internal import CKernels

/// A device that was opened; everything that was made on it keeps it open.
@safe
final class KernelDevice {
  let library: KernelLibrary
  let context: OpaquePointer
  /// Pieces of device memory and of pinned host memory asked for so far.
  var allocations = 0

  init(_ library: KernelLibrary, index: Int, workers: Int) throws(KernelLibraryError) {
    var context: OpaquePointer?
    try library.check(unsafe library.table.pointee.open(Int32(index), Int32(workers), &context))
    guard let context = unsafe context else { throw .failed("no context was made") }
    self.library = library
    unsafe self.context = context
  }

  deinit { unsafe library.table.pointee.close(context) }

  func information() throws(KernelLibraryError) -> DeviceInformation {
    var info = gpi_kernel_device_info()
    try library.check(unsafe library.table.pointee.device_info(context, &info))
    var information = DeviceInformation(info)
    for variant in library.variants { information.obstacles[variant.index] = obstacle(to: variant) }
    return information
  }

  /// Why this device cannot run a variant; nil when it can.
  private func obstacle(to variant: KernelVariant) -> String? {
    var runs = false
    let reason = unsafe KernelLibrary.text(capacity: 256) { text, capacity in
      runs = unsafe library.table.pointee.runs(context, Int32(variant.index), text, capacity)
    }
    return runs ? nil : reason
  }
}

/// What there is to know of a device.
package struct DeviceInformation: Sendable, Equatable {
  package let name: String
  /// 10 · major + minor.
  package let capability: Int
  package let multiprocessors: Int
  package let memoryBytes: Int
  package let freeBytes: Int
  /// Such as "13.0"; nil where there is none.
  package let driverVersion: String?
  package let runtimeVersion: String?
  /// Those that kernels are chosen by, of `KernelLibrary.figures`.
  package let figures: Int
  /// Facts about other libraries, a line each.
  package let notes: [String]
  /// By a variant's index, why this device cannot run it.
  fileprivate(set) var obstacles: [Int: String] = [:]

  /// Why this device cannot run a variant of its library; nil when it can.
  package func reasonUnavailable(_ variant: KernelVariant) -> String? { obstacles[variant.index] }

  init(_ info: gpi_kernel_device_info) {
    name = Self.text(info.name)
    capability = Int(info.capability)
    multiprocessors = Int(info.multiprocessors)
    memoryBytes = Int(info.memory_bytes)
    freeBytes = Int(info.free_bytes)
    driverVersion = Self.version(info.driver_version)
    runtimeVersion = Self.version(info.runtime_version)
    figures = Int(info.figures)
    notes = Self.text(info.notes).split(separator: "\n").map(String.init)
  }

  private static func version(_ number: Int32) -> String? {
    number == 0 ? nil : "\(number / 1000).\(number % 1000 / 10)"
  }

  /// A C array of characters up to its zero byte; C arrays arrive as tuples.
  private static func text<Characters>(_ characters: Characters) -> String {
    unsafe withUnsafeBytes(of: characters) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
  }
}
