internal import CPUBackend
internal import Compute
internal import KernelBackend
internal import Numerics

/// A device's kernels; on the CPU its matrix products, beside the memory bandwidth that bounds them when they have few
/// rows.
enum KernelBench: Benchmark {
  static let name = "kernels"

  static func run(_ arguments: ParsedArguments) throws -> BenchReport {
    let choice = try DeviceChoice(arguments)
    if choice.device != .cpu, let kernels = try choice.makeBackend(for: nil) as? KernelBackend {
      return try DeviceKernelBench.run(arguments, kernels)
    }
    let backend = CPUBackend(threads: try arguments.integer("--threads", in: 1...1024))
    let benchmark = KernelBenchmark(backend: backend)
    var report = BenchReport(name: name)
    report.setting = [
      ("layer", "feed-forward of a Llama 1.1B, 2048 -> 5632"), ("kernels", backend.instructionSet.rawValue),
      ("threads", "\(backend.threads)"),
    ]
    report.add("read memory", try benchmark.memoryRead().gigabytesPerSecond, "GB/s")
    for type in [DataType.bfloat16, .float16, .float32] {
      try add(type, to: &report, benchmark, label: "linear \(type.rawValue)")
    }
    let pairs = KernelBenchmark(backend: CPUBackend(threads: backend.threads, productType: .bfloat16))
    try add(.bfloat16, to: &report, pairs, label: "bfloat16 products")
    try addStores(to: &report, benchmark)
    try addStoresInPairs(to: &report, pairs)
    return report
  }

  private static func add(
    _ type: DataType, to report: inout BenchReport, _ benchmark: KernelBenchmark, label: String
  ) throws {
    for rows in [1, 4, 16, 64, 512] {
      let measurement = try benchmark.linear(rows: rows, inputs: 2048, outputs: 5632, type: type)
      if rows == 1 { report.add(label + ", weights read", measurement.gigabytesPerSecond, "GB/s") }
      report.add(label + ", \(rows) rows", measurement.gigaflops, "GFLOP/s")
    }
  }

  private static let (inputs, outputs) = (2048, 5632)

  /// A quantised weight; beside the bytes read the weights they stand for, which is what a token costs.
  private static func add(
    _ name: String, to report: inout BenchReport, _ measure: (_ rows: Int) throws -> KernelMeasurement
  ) throws {
    for rows in [1, 4, 16, 512] {
      let measurement = try measure(rows)
      if rows == 1 {
        report.add(name + ", weights read", measurement.gigabytesPerSecond, "GB/s")
        report.add(name + ", weights", Double(inputs * outputs) / measurement.seconds / 1e9, "G/s")
      }
      report.add(name + ", \(rows) rows", measurement.gigaflops, "GFLOP/s")
    }
  }

  /// What has a product of its own with inputs rounded to bfloat16.
  private static func addStoresInPairs(to report: inout BenchReport, _ benchmark: KernelBenchmark) throws {
    try add("bfloat16 products, 2:4", to: &report) { rows in
      try benchmark.linear(rows: rows, inputs: inputs, outputs: outputs, twoOfFour: .bfloat16)
    }
    for (bits, group) in [(4, 128), (4, 32), (8, inputs)] {
      try add("bfloat16 products, int\(bits) g\(group)", to: &report) { rows in
        try benchmark.linear(rows: rows, inputs: inputs, outputs: outputs, bits: bits, groupSize: group)
      }
    }
  }

  private static func addStores(to report: inout BenchReport, _ benchmark: KernelBenchmark) throws {
    for type in [DataType.bfloat16, .float16] {
      try add("linear 2:4 \(type.rawValue)", to: &report) { rows in
        try benchmark.linear(rows: rows, inputs: inputs, outputs: outputs, twoOfFour: type)
      }
    }
    for (bits, group) in [(4, 128), (4, 32), (3, 128), (8, inputs)] {
      try add("linear int\(bits) g\(group)", to: &report) { rows in
        try benchmark.linear(rows: rows, inputs: inputs, outputs: outputs, bits: bits, groupSize: group)
      }
    }
    try add("linear int8, int8 activations", to: &report) { rows in
      try benchmark.linear(
        rows: rows, inputs: inputs, outputs: outputs, bits: 8, groupSize: inputs,
        activations: .token(outlierThreshold: nil))
    }
    for type in benchmark.backend.blockTypes {
      try add("linear \(type.name)", to: &report) { rows in
        try benchmark.linear(rows: rows, inputs: inputs, outputs: outputs, blocks: type)
      }
    }
  }
}
