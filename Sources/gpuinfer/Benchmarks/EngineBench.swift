internal import Generation

/// The engine's own work in a step, with a model that answers at once.
enum EngineBench: Benchmark {
  static let name = "engine"

  static func run(_ arguments: ParsedArguments) throws -> BenchReport {
    var benchmark = EngineBenchmark()
    benchmark.sequences = try arguments.integer("--sequences", in: 1...100_000) ?? benchmark.sequences
    benchmark.steps = try arguments.integer("--steps", in: 1...1_000_000) ?? benchmark.steps
    let result = try benchmark.run()
    var report = BenchReport(name: name)
    report.setting = [("running sequences", "\(result.sequences)"), ("steps", "\(result.steps)")]
    report.add("schedule", result.schedule, "us a step")
    report.add("sample", result.sample, "us a step")
    report.add("postprocess", result.postprocess, "us a step")
    report.add("host work", result.host, "us a step")
    report.add("host work, slowest step", result.worst, "us")
    if let allocations = result.allocationsPerStep {
      report.add("allocations", allocations, "a step")
    } else {
      report.setting.append(("allocations", "not counted; Scripts/malloc-count.c says how"))
    }
    return report
  }
}
