internal import Generation
internal import Tokenizers

/// What speculation did between two looks at its counters.
private struct SpeculationWork {
  let drafted: Double
  let accepted: Double
  /// Of a draft whose predecessors were: the α of the formulas.
  let acceptance: Double
  /// Of the steps with each number of drafts that came up, their drafting included.
  let secondsByLength: [(length: Int, seconds: Double)]
  private let seconds: Double
  private let expectedTokens: Double

  init(from before: SpeculationStatistics, to after: SpeculationStatistics) {
    drafted = Double(after.draftTokens - before.draftTokens)
    accepted = Double(after.acceptedTokens - before.acceptedTokens)
    acceptance = accepted / max(Double(after.triedTokens - before.triedTokens), 1)
    seconds = after.seconds - before.seconds
    secondsByLength = after.stepsByLength.indices.compactMap { length in
      let steps = after.stepsByLength[length] - before.stepsByLength[length]
      if steps == 0 { return nil }
      return (length, (after.secondsByLength[length] - before.secondsByLength[length]) / Double(steps))
    }
    var tokens = Double(after.sequenceSteps - before.sequenceSteps)
    for length in after.verificationsByLength.indices {
      let count = Double(after.verificationsByLength[length] - before.verificationsByLength[length])
      tokens += count * (AcceptanceEstimate.expectedTokens(acceptance, drafts: length) - 1)
    }
    expectedTokens = tokens
  }

  /// The tokens that such an acceptance makes expect, in the time of the steps, over those of plain decoding.
  ///
  /// - Parameter plain: tokens a second.
  func gain(plain: Double) -> Double { seconds > 0 ? expectedTokens / seconds / plain : 0 }
}

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
    for repetition in 0..<repetitions {
      // In pairs, whose first one is not always the same.
      if repetition % 2 == 0 { without.append(try tokensPerSecond(plain, prompts, tokens)) }
      with.append(try tokensPerSecond(speculative, prompts, tokens))
      if repetition % 2 == 1 { without.append(try tokensPerSecond(plain, prompts, tokens)) }
    }
    let ratios = zip(with, without).map { $0 / $1 }
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
    report.add("median of the pairs' ratios", median(ratios), "times")
    report.add("ratio of all tokens and all time", harmonicMean(with) / harmonicMean(without), "times")
    if let before, let after {
      let work = SpeculationWork(from: before, to: after)
      report.add("predicted from acceptance and step times", work.gain(plain: median(without)), "times")
      for (length, seconds) in work.secondsByLength {
        report.add(length == 0 ? "step without drafts" : "step with \(length)", 1e6 * seconds, "us")
      }
      report.add("drafted", work.drafted, "tokens")
      report.add("accepted", 100 * work.accepted / max(work.drafted, 1), "%")
      report.add("accepted, given those before", 100 * work.acceptance, "%")
    }
    return report
  }

  private static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

  /// Of rates over equal work: the rate of all of it.
  private static func harmonicMean(_ values: [Double]) -> Double {
    Double(values.count) / values.reduce(0) { $0 + 1 / $1 }
  }

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
