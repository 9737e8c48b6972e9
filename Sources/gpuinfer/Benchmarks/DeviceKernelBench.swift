internal import Compute
internal import KernelBackend
internal import Numerics

/// `bench kernels --device cuda|simt`: the device's kernels with the shapes of a model.
enum DeviceKernelBench {
  /// The shapes of one model's layer, and how much of each to measure.
  private struct Shapes {
    let hidden: Int
    let inner: Int
    let vocabulary: Int
    let queryHeads: Int
    let keyHeads: Int
    let head: Int
    /// Rows of the products.
    let rows: [Int]
    /// Tokens of prompts.
    let prompts: [Int]
    /// Sequences and their contexts.
    let decodes: [(sequences: Int, keys: Int)]
    let workingSet: Int
    let replays: Int

    static let named: [String: Shapes] = [
      "llama-8b": Shapes(
        hidden: 4096, inner: 14336, vocabulary: 128_256, queryHeads: 32, keyHeads: 8, head: 128,
        rows: [1, 8, 32, 128, 512, 4096], prompts: [2048, 8192, 16384],
        decodes: [(1, 2048), (1, 8192), (32, 2048), (32, 8192), (128, 2048)], workingSet: 1 << 28, replays: 20
      ),
      // For trying the command where a GPU is emulated.
      "tiny": Shapes(
        hidden: 64, inner: 96, vocabulary: 128, queryHeads: 4, keyHeads: 2, head: 32, rows: [1, 5],
        prompts: [48], decodes: [(2, 40)], workingSet: 1 << 14, replays: 3),
    ]
  }

  static let shapesOption = OptionSpecification.value(
    "--shapes", "NAME", default: "llama-8b, emulated tiny", "kernels: whose shapes, on a device.")

  static func run(_ arguments: ParsedArguments, _ backend: KernelBackend) throws -> BenchReport {
    let name = arguments.string(shapesOption.name) ?? (backend.name == "simt" ? "tiny" : "llama-8b")
    guard let shapes = Shapes.named[name] else {
      let known = Shapes.named.keys.sorted().joined(separator: ", ")
      throw UsageError.invalidValue(option: shapesOption.name, value: name, expected: "one of: \(known)")
    }
    let benchmark = DeviceBenchmark(
      backend: backend, replays: shapes.replays, workingSet: shapes.workingSet)
    var report = BenchReport(name: "kernels")
    report.setting = [
      ("device", backend.device.name), ("shapes", name), ("type", backend.activationType.rawValue),
      ("replays", "\(shapes.replays), medians"), ("bytes a replay", readableBytes(shapes.workingSet)),
    ]
    let memory = try benchmark.memory()
    add(memory, to: &report, bound: .bytes)
    let (queries, keys) = (shapes.queryHeads * shapes.head, shapes.keyHeads * shapes.head)
    for rows in shapes.rows {
      let bound: Bound = rows <= 128 ? .bytes : .operations
      for (inputs, outputs) in [
        (shapes.hidden, queries + 2 * keys), (queries, shapes.hidden), (shapes.hidden, 2 * shapes.inner),
        (shapes.inner, shapes.hidden),
      ] {
        add(try benchmark.linear(rows: rows, inputs: inputs, outputs: outputs), to: &report, bound: bound)
      }
    }
    add(
      try benchmark.linear(rows: shapes.rows[0], inputs: shapes.hidden, outputs: shapes.vocabulary),
      to: &report, bound: .bytes)
    for tokens in shapes.prompts {
      add(
        try benchmark.attention(
          sequences: 1, rows: tokens, keys: tokens, queryHeads: shapes.queryHeads, keyHeads: shapes.keyHeads,
          head: shapes.head),
        to: &report, bound: .operations)
    }
    for (sequences, context) in shapes.decodes {
      add(
        try benchmark.attention(
          sequences: sequences, rows: 1, keys: context, queryHeads: shapes.queryHeads,
          keyHeads: shapes.keyHeads, head: shapes.head),
        to: &report, bound: .bytes)
    }
    for rows in [shapes.rows[0], shapes.rows[shapes.rows.count - 1]] {
      add(try benchmark.norm(rows: rows, width: shapes.hidden), to: &report, bound: .bytes)
      add(try benchmark.activation(rows: rows, width: shapes.inner), to: &report, bound: .bytes)
    }
    return report
  }

  /// What an operation is bound by, and so what its figure is held against.
  private enum Bound { case bytes, operations }

  private static func add(
    _ measurement: KernelMeasurement, to report: inout BenchReport, bound: Bound
  ) {
    let name = "\(measurement.operation) \(measurement.shape)"
    report.add(name, measurement.microseconds, "µs")
    switch bound {
    case .bytes: report.add(name + ", rate", measurement.gigabytesPerSecond, "GB/s")
    case .operations: report.add(name + ", rate", measurement.gigaflops / 1000, "TFLOP/s")
    }
  }
}
