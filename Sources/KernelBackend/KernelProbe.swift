internal import CKernels
package import Compute
internal import Numerics

/// A small kernel around one hardware primitive, whose results on a GPU are compared with the emulation's.
package struct KernelProbe: Sendable, Equatable {
  /// How far results may be apart.
  package enum Comparison: Sendable, Equatable {
    /// Not at all.
    case bits
    /// float32: by this part of the value.
    case relative(Double)
    /// float32, and as many magnitudes behind them: by this part of the magnitude.
    case sum(Double)
  }

  /// Its place in the table.
  package let index: Int
  package let name: String
  /// The file of `CKernels/device` that declares the primitive.
  package let header: String
  /// Devices that have the primitive: from 10 · major + minor of their compute capability on.
  package let firstCapability: Int
  package let inputWords: Int
  package let outputWords: Int
  package let comparison: Comparison
  /// Why it is compared so.
  package let reason: String

  init(_ index: Int, _ description: gpi_kernel_probe) {
    self.index = index
    name = unsafe String(cString: description.name)
    header = unsafe String(cString: description.header)
    firstCapability = unsafe Int(description.first_capability)
    inputWords = unsafe Int(description.input_words)
    outputWords = unsafe Int(description.output_words)
    reason = unsafe String(cString: description.reason)
    let tolerance = unsafe Double(description.tolerance)
    comparison =
      switch unsafe description.comparison {
      case GPI_PROBE_RELATIVE: .relative(tolerance)
      case GPI_PROBE_SUM: .sum(tolerance)
      default: .bits
      }
  }
}

extension KernelLibrary {
  package var probes: [KernelProbe] {
    unsafe (0..<Int(table.pointee.probe_count)).map { index in
      unsafe KernelProbe(index, table.pointee.probes[index])
    }
  }
}

extension KernelBackend {
  /// What a probe gives on this device for the inputs of a seed.
  package func run(_ probe: KernelProbe, seed: UInt64) throws(KernelError) -> [UInt32] {
    let words = max(probe.inputWords, 1)
    var values = [UInt32](repeating: 0, count: words)
    let table = unsafe stream.table
    unsafe values.withUnsafeMutableBufferPointer { buffer in
      unsafe table.fill_probe(Int32(probe.index), seed, buffer.baseAddress)
    }
    let input = try allocate(byteCount: words * 4)
    let output = try allocate(byteCount: probe.outputWords * 4)
    let inputView = unsafe TensorView(address: input.address, shape: Shape(words), dataType: .int32)
    let outputView = unsafe TensorView(
      address: output.address, shape: Shape(probe.outputWords), dataType: .int32)
    try unsafe values.withUnsafeBufferPointer { values throws(KernelError) in
      try unsafe upload(UnsafeRawBufferPointer(values), to: inputView)
    }
    try stream.check(
      unsafe table.launch_probe(
        stream.handle, Int32(probe.index), input.address.assumingMemoryBound(to: UInt32.self),
        output.address.assumingMemoryBound(to: UInt32.self)), probe.name)
    var result = [UInt32](repeating: 0, count: probe.outputWords)
    try unsafe result.withUnsafeMutableBufferPointer { result throws(KernelError) in
      try unsafe download(outputView, to: UnsafeMutableRawBufferPointer(result))
    }
    return withExtendedLifetime((input, output)) { result }
  }
}
