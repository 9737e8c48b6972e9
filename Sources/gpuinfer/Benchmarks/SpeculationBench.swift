internal import Generation
internal import Tokenizers

/// Greedy decoding with and without speculation, in turn on the same machine.
enum SpeculationBench: Benchmark {
  static let name = "speculation"

  /// The same three options as `serve` has.
  static let options = EngineFlags.options.filter {
    ["--speculative-config", "--speculative-model", "--num-speculative-tokens"].contains($0.name)
  }

  static func run(_ arguments: ParsedArguments) throws -> BenchReport {
    let settings =
      try EngineFlags.speculation(arguments)
      ?? SpeculationSettings(.ngram(PromptLookupSettings()), maxDrafts: 5)
    let batch = try arguments.integer("--batch", in: 1...4096) ?? 1
    let tokens = try arguments.integer("--max-tokens", in: 1...100_000) ?? 256
    let repetitions = try arguments.integer("--repetitions", in: 1...1000) ?? 3
    var loading = LoadingOptions()
    loading.maxSequences = batch
    loading.maxBatchTokens = max(512, batch * (settings.maxDrafts + 1))
    let path = try ModelPath.resolve(arguments.positional(1))
    let model = try LoadedModel.open(path, loading)
    let device = try DeviceChoice(arguments)
    let draft = try model.draftModel(settings, loading)
    let reservation = try model.reservation(on: device.profile(for: model.checkpoint), loading, draft: draft)
    let prompts = try prompts(arguments, model.tokenizer, count: batch)

    let plain = try model.startEngine(reservation, EngineOptions()) {
      [checkpoint = model.checkpoint] in try device.makeBackend(for: checkpoint)
    }
    defer { plain.stop() }
    let speculative = try model.startEngine(
      reservation, EngineOptions(), speculation: settings, draft: draft
    ) { [checkpoint = model.checkpoint] in try device.makeBackend(for: checkpoint) }
    defer { speculative.stop() }
    // Warm, so that the policy knows what steps cost and the prompts are in the prefix caches.
    _ = try tokensPerSecond(plain, prompts, tokens)
    _ = try tokensPerSecond(speculative, prompts, tokens)
    let before = speculative.statistics().speculation
    var (without, with) = ([Double](), [Double]())
    for _ in 0..<repetitions {
      without.append(try tokensPerSecond(plain, prompts, tokens))
      with.append(try tokensPerSecond(speculative, prompts, tokens))
    }
    let after = speculative.statistics().speculation
    var report = BenchReport(name: name)
    report.setting = [
      ("model", path), ("device", plain.information.device), ("method", settings.methodName),
      ("tokens drafted at most", "\(settings.maxDrafts)"), ("adaptive", settings.adapts ? "yes" : "no"),
      ("batch", "\(batch)"), ("output tokens of a sequence", "\(tokens)"),
    ]
    report.add("plain, median", median(without), "tokens/s")
    report.add("speculative, median", median(with), "tokens/s")
    report.add("ratio of the medians", median(with) / median(without), "times")
    if let before, let after {
      let drafted = after.draftTokens - before.draftTokens
      let accepted = after.acceptedTokens - before.acceptedTokens
      if after.seconds > before.seconds {
        report.add(
          "predicted from acceptance and step times",
          (after.predictedSeconds - before.predictedSeconds) / (after.seconds - before.seconds), "times")
      }
      report.add("drafted", Double(drafted), "tokens")
      report.add("accepted", 100 * Double(accepted) / Double(max(drafted, 1)), "%")
    }
    return report
  }

  private static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

  /// Pieces of `--text`, or the prompt for every sequence.
  private static func prompts(
    _ arguments: ParsedArguments, _ tokenizer: Tokenizer, count: Int
  ) throws -> [[Int32]] {
    guard let file = arguments.string("--text") else {
      let prompt = try tokenizer.encode(arguments.string("--prompt") ?? "The boy looked up and")
      return Array(repeating: prompt, count: count)
    }
    let tokens = try tokenizer.encode(String(decoding: try Files.read(file, limit: 1 << 30), as: UTF8.self))
    let length = 64
    guard tokens.count >= length else { throw Failure(.badData, "\(file) has fewer than \(length) tokens") }
    return (0..<count).map { index in
      let start = (tokens.count - length) * index / max(count, 1)
      return Array(tokens[start..<start + length])
    }
  }

  private static func tokensPerSecond(_ engine: Engine, _ prompts: [[Int32]], _ tokens: Int) throws -> Double
  {
    let started = ContinuousClock.now
    let streams = try prompts.enumerated().map { index, prompt in
      var stop = StopConditions(maxTokens: tokens)
      stop.ignoreEndOfText = true
      var request = GenerationRequest(id: "bench-\(index)", prompt: prompt, stop: stop)
      request.sampling.temperature = 0
      return try engine.submit(request)
    }
    for stream in streams { while stream.next(timeoutMilliseconds: nil) != nil {} }
    return Double(prompts.count * tokens) / (started.duration(to: .now) / .seconds(1))
  }
}
