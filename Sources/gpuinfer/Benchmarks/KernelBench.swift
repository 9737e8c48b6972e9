internal import CPUBackend
internal import Compute
internal import Glibc
internal import Numerics

/// The CPU backend's matrix products, beside the memory bandwidth that bounds them when they have one row.
enum KernelBench: Benchmark {
  static let name = "kernels"

  /// A Llama 1.1B feed-forward layer.
  private static let outputs = 5632
  private static let inputs = 2048

  static func run(_ arguments: ParsedArguments) throws -> BenchReport {
    let repetitions = try arguments.integer("--repetitions", in: 1...1000) ?? 3
    let backend = CPUBackend(threads: try arguments.integer(Device.threads.name, in: 1...1024))
    var report = BenchReport(name: name)
    report.setting = [
      ("shape", "\(outputs) x \(inputs)"), ("kernels", backend.instructionSet.rawValue),
      ("threads", "\(backend.threads)"),
    ]
    for type in [DataType.bfloat16, .float16, .float32] {
      // Enough copies that none is still in the last-level cache when its turn comes again.
      let copies = max(2, (256 << 20) / (outputs * inputs * type.byteCount))
      let weights = try (0..<copies).map { _ in try weight(type, backend) }
      for rows in [1, 4, 16, 64, 512] {
        let input = try floats(rows, inputs, backend)
        let output = try floats(rows, outputs, backend)
        let uses = rows == 512 ? 1 : copies
        let seconds = try TokenizerBench.fastest(repetitions) {
          for weight in weights.prefix(uses) {
            try backend.linear(input.view, weight, accumulate: false, into: output.view)
          }
        }
        let perCall = seconds / Double(uses)
        let bytes = Double(outputs * inputs * type.byteCount)
        let operations = 2 * Double(rows * outputs * inputs)
        report.add("linear \(type.rawValue), \(rows) rows", operations / perCall / 1e9, "GFLOP/s")
        if rows == 1 { report.add("linear \(type.rawValue), 1 row", bytes / perCall / 1e9, "GB/s") }
      }
    }
    return report
  }

  private static func floats(_ rows: Int, _ columns: Int, _ backend: CPUBackend) throws -> Tensor {
    let storage = try backend.allocate(byteCount: rows * columns * 4)
    let tensor = Tensor(storage: storage, shape: Shape(rows, columns), dataType: .float32)
    let values = unsafe UnsafeMutableBufferPointer(
      start: tensor.view.address.assumingMemoryBound(to: Float.self), count: rows * columns)
    for index in values.indices { unsafe values[index] = Float(index % 17) / 17 - 0.5 }
    return tensor
  }

  private static func weight(_ type: DataType, _ backend: CPUBackend) throws -> LinearWeight {
    let storage = try backend.allocate(byteCount: outputs * inputs * type.byteCount)
    let tensor = Tensor(storage: storage, shape: Shape(outputs, inputs), dataType: type)
    // 0x3C: a value near 0.01 in every one of the three types.
    unsafe memset(tensor.view.address, 0x3C, tensor.byteCount)
    return LinearWeight(dense: tensor)
  }
}
