internal import Generation
internal import Models
internal import Tokenizers

/// Time to the first token of prompts that begin alike, with the prefix cache and without.
enum PrefixBench: Benchmark {
  static let name = "prefix"

  static func run(_ arguments: ParsedArguments) throws -> BenchReport {
    let length = try arguments.integer("--prompt-tokens", in: 32...1_000_000) ?? 512
    let repetitions = try arguments.integer("--repetitions", in: 1...1000) ?? 3
    let tail = 16
    var loading = LoadingOptions()
    loading.maxSequences = 1
    let path = try ModelPath.resolve(arguments.positional(1))
    let model = try LoadedModel.open(path, loading)
    let device = try DeviceChoice(arguments)
    let reservation = try model.reservation(on: device.profile(for: model.checkpoint), loading)
    guard length + tail < reservation.limits.maxModelLength else {
      throw Failure(
        .usage,
        "--prompt-tokens must be below \(reservation.limits.maxModelLength - tail), the model's length")
    }
    let engine = try model.startEngine(reservation, EngineOptions()) {
      [checkpoint = model.checkpoint] in try device.makeBackend(for: checkpoint)
    }
    defer { engine.stop() }
    let size = Int32(model.tokenizer.vocabularySize)
    var serial: Int32 = 0
    // Prompts of one salt find each other's blocks, those of another do not.
    func firstToken(salt: String) throws -> (seconds: Double, cached: Int) {
      serial += 1
      let shared = (0..<Int32(length)).map { ($0 &* 31 &+ 7) % size }
      let own = (0..<Int32(tail)).map { ($0 &+ 101 &* serial) % size }
      var request = GenerationRequest(
        id: "bench-\(serial)", prompt: shared + own, stop: StopConditions(maxTokens: 1))
      request.sampling.temperature = 0
      request.cacheSalt = salt
      let started = ContinuousClock.now
      let stream = try engine.submit(request)
      var cached = 0
      while let events = stream.next(timeoutMilliseconds: nil) {
        for case .prompt(let found, _) in events { cached = found }
      }
      return (started.duration(to: .now) / .seconds(1), cached)
    }
    _ = try firstToken(salt: "warm")
    _ = try firstToken(salt: "warm")
    var (cold, warm) = ([Double](), [Double]())
    var cached = 0
    for repetition in 0..<repetitions {
      cold.append(try firstToken(salt: "cold-\(repetition)").seconds)
      let found = try firstToken(salt: "warm")
      warm.append(found.seconds)
      cached = found.cached
    }
    let statistics = engine.statistics()
    var report = BenchReport(name: name)
    report.setting = [
      ("model", path), ("device", engine.information.device), ("shared prefix", "\(length) tokens"),
      ("own tokens", "\(tail)"),
    ]
    report.add("first token, nothing cached, median", 1000 * cold.sorted()[cold.count / 2], "ms")
    report.add("first token, prefix cached, median", 1000 * warm.sorted()[warm.count / 2], "ms")
    report.add("ratio of the medians", cold.sorted()[cold.count / 2] / warm.sorted()[warm.count / 2], "times")
    report.add("tokens found in the cache", Double(cached), "tokens")
    report.add(
      "hit rate of the run",
      100 * Double(statistics.prefixCacheHits) / Double(max(statistics.prefixCacheQueries, 1)),
      "%")
    return report
  }
}
