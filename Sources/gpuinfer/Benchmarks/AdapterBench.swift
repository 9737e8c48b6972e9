internal import Generation
internal import Tokenizers

/// Greedy decoding with an adapter and without, in turn on the same machine.
enum AdapterBench: Benchmark {
  static let name = "lora"

  static func run(_ arguments: ParsedArguments) throws -> BenchReport {
    let rank = try arguments.integer("--rank", in: 1...256) ?? 16
    let batch = try arguments.integer("--batch", in: 1...4096) ?? 1
    let tokens = try arguments.integer("--max-tokens", in: 1...100_000) ?? 128
    let repetitions = try arguments.integer("--repetitions", in: 1...1000) ?? 3
    var loading = LoadingOptions()
    loading.maxSequences = batch
    loading.maxAdapterRank = 256
    let path = try ModelPath.resolve(arguments.positional(1))
    let model = try LoadedModel.open(path, loading)
    let device = try DeviceChoice(arguments)
    let reservation = try model.reservation(on: device.profile(for: model.checkpoint), loading)
    let engine = try model.startEngine(reservation, EngineOptions()) {
      [checkpoint = model.checkpoint] in try device.makeBackend(for: checkpoint)
    }
    defer { engine.stop() }
    let id: Int32
    if let adapter = arguments.string("--adapter") {
      id = try engine.loadAdapter(path: adapter)
    } else {
      id = try RandomAdapter.with(rank: rank, for: model) { try engine.loadAdapter(path: $0) }
    }
    let prompt = try model.tokenizer.encode(arguments.string("--prompt") ?? "The boy looked up and")
    func tokensPerSecond(_ adapter: Int32) throws -> Double {
      let started = ContinuousClock.now
      let streams = try (0..<batch).map { index in
        var stop = StopConditions(maxTokens: tokens)
        stop.ignoreEndOfText = true
        var request = GenerationRequest(id: "bench-\(index)", prompt: prompt, stop: stop)
        request.sampling.temperature = 0
        request.adapter = adapter
        return try engine.submit(request)
      }
      for stream in streams { while stream.next(timeoutMilliseconds: nil) != nil {} }
      return Double(batch * tokens) / (started.duration(to: .now) / .seconds(1))
    }
    for adapter in [0, id] { _ = try tokensPerSecond(adapter) }
    var (without, with) = ([Double](), [Double]())
    for _ in 0..<repetitions {
      without.append(try tokensPerSecond(0))
      with.append(try tokensPerSecond(id))
    }
    let (plain, adapted) = (without.sorted()[without.count / 2], with.sorted()[with.count / 2])
    var report = BenchReport(name: name)
    report.setting = [
      ("model", path),
      ("adapter", arguments.string("--adapter") ?? "random, rank \(rank), all linear layers"),
      ("device", engine.information.device), ("batch", "\(batch)"),
      ("output tokens of a sequence", "\(tokens)"),
    ]
    report.add("without adapter, median", plain, "tokens/s")
    report.add("with adapter, median", adapted, "tokens/s")
    report.add("cost of the adapter", 100 * (plain / adapted - 1), "%")
    return report
  }
}
