internal import Checkpoints
internal import Compute
internal import Generation
internal import Models
internal import Numerics

/// The forward pass alone: prefill and decode of a model on one device.
enum ModelBench: Benchmark {
  static let name = "model"

  static func run(_ arguments: ParsedArguments) throws -> BenchReport {
    let prompt = try arguments.integer("--prompt-tokens", in: 1...1_000_000) ?? 512
    let decode = try arguments.integer("--decode-tokens", in: 1...1_000_000) ?? 32
    let batch = try arguments.integer("--batch", in: 1...4096) ?? 1
    let repetitions = try arguments.integer("--repetitions", in: 1...1000) ?? 3
    let path = try ModelPath.resolve(arguments.positional(1))
    let opened = ContinuousClock.now
    let checkpoint = try Checkpoint.open(path)
    let choice = try DeviceChoice(arguments)
    let backend = try choice.makeBackend(for: checkpoint)
    let graph = try ModelGraph(
      checkpoint: checkpoint, backend: backend,
      limits: ModelLimits(
        maxBatchTokens: max(prompt, batch), maxSequences: batch, maxModelLength: max(prompt, decode * 2),
        maxLogitRows: batch,
        cacheType: try CacheTypeFlag.type(arguments, on: choice.profile(for: checkpoint))))
    let loadSeconds = opened.duration(to: .now) / .seconds(1)
    let moved = WeightPages.move(
      checkpoint, candidates: try WeightPages.candidates(arguments, choice.device, checkpoint))
    let benchmark = try ModelBenchmark(graph: graph, batch: batch, longest: max(prompt, decode * 2))
    let prefill = try benchmark.prefill(tokens: prompt, repetitions: repetitions)
    let decoded = try benchmark.decode(context: decode, steps: decode, repetitions: repetitions)
    var report = BenchReport(name: name)
    report.setting = [
      ("model", path), ("device", backend.name), ("dtype", choice.computeType.rawValue),
      ("weights", readableBytes(graph.memoryPlan.weightBytes)),
      ("in huge pages", readableBytes(moved)),
      ("kv cache", graph.cacheGeometry(blockCount: 1).dataType.cacheName),
      ("batch", "\(batch)"),
    ]
    report.add("load", loadSeconds * 1000, "ms")
    report.add("prefill \(prompt), best", prefill.best, "tokens/s")
    report.add("prefill \(prompt), median", prefill.median, "tokens/s")
    report.add("decode, best", decoded.best, "tokens/s")
    report.add("decode, median", decoded.median, "tokens/s")
    return report
  }
}
