internal import Generation
internal import Tokenizers

/// What speculation did in the timed runs of some engines.
private struct SpeculationWork {
  private(set) var drafted = 0.0
  private(set) var accepted = 0.0
  private var tried = 0.0
  private var seconds = 0.0
  private var sequenceSteps = 0.0
  /// By the number of drafts.
  private var verifications: [Double]
  private var steps: [Double]
  private var stepSeconds: [Double]

  init(maxDrafts: Int) {
    verifications = Array(repeating: 0, count: maxDrafts + 1)
    (steps, stepSeconds) = (verifications, verifications)
  }

  mutating func add(from before: SpeculationStatistics, to after: SpeculationStatistics) {
    drafted += Double(after.draftTokens - before.draftTokens)
    accepted += Double(after.acceptedTokens - before.acceptedTokens)
    tried += Double(after.triedTokens - before.triedTokens)
    seconds += after.seconds - before.seconds
    sequenceSteps += Double(after.sequenceSteps - before.sequenceSteps)
    for length in steps.indices {
      verifications[length] += Double(
        after.verificationsByLength[length] - before.verificationsByLength[length])
      steps[length] += Double(after.stepsByLength[length] - before.stepsByLength[length])
      stepSeconds[length] += after.secondsByLength[length] - before.secondsByLength[length]
    }
  }

  /// Of a draft whose predecessors were accepted: the α of the formulas.
  var acceptance: Double { accepted / max(tried, 1) }

  /// Of the steps with each number of drafts that came up, their drafting included.
  var secondsByLength: [(length: Int, seconds: Double)] {
    steps.indices.compactMap { steps[$0] > 0 ? ($0, stepSeconds[$0] / steps[$0]) : nil }
  }

  /// The tokens that such an acceptance makes expect, in the time of the steps, over those of plain decoding.
  ///
  /// - Parameter plain: tokens a second.
  func gain(plain: Double) -> Double {
    var tokens = sequenceSteps
    for length in verifications.indices {
      tokens += verifications[length] * (AcceptanceEstimate.expectedTokens(acceptance, drafts: length) - 1)
    }
    return seconds > 0 ? tokens / seconds / plain : 0
  }
}

/// Greedy decoding with and without speculation, in turn on the same machine.
///
/// Two engines that do the same are not equally fast: where their memory happens to lie makes some hundredths. So engines are
/// started anew several times, and a second one without speculation runs beside them: what it gains over the first is
/// what such a comparison cannot see.
enum SpeculationBench: Benchmark {
  static let name = "speculation"

  /// The same three options as `serve` has.
  static let options =
    EngineFlags.options.filter {
      ["--speculative-config", "--speculative-model", "--num-speculative-tokens"].contains($0.name)
    } + [.value("--engines", "N", default: "3", "speculation: how often the engines are started anew.")]

  private enum Role: Int, CaseIterable { case plain, speculative, plainAgain }

  static func run(_ arguments: ParsedArguments) throws -> BenchReport {
    let settings =
      try EngineFlags.speculation(arguments)
      ?? SpeculationSettings(.ngram(PromptLookupSettings()), maxDrafts: 5)
    let batch = try arguments.integer("--batch", in: 1...4096) ?? 1
    let tokens = try arguments.integer("--max-tokens", in: 1...100_000) ?? 256
    let repetitions = try arguments.integer("--repetitions", in: 1...1000) ?? 3
    let rounds = try arguments.integer("--engines", in: 1...1000) ?? 3
    var loading = LoadingOptions()
    loading.maxSequences = batch
    loading.maxBatchTokens = max(512, batch * (settings.maxDrafts + 1))
    let path = try ModelPath.resolve(arguments.positional(1))
    let model = try LoadedModel.open(path, loading)
    let device = try DeviceChoice(arguments)
    let draft = try model.draftModel(settings, loading)
    let reservation = try model.reservation(on: device.profile(for: model.checkpoint), loading, draft: draft)
    let prompts = try prompts(arguments, model.tokenizer, count: batch)
    func start(_ role: Role) throws -> Engine {
      let isSpeculative = role == .speculative
      return try model.startEngine(
        reservation, EngineOptions(), speculation: isSpeculative ? settings : nil,
        draft: isSpeculative ? draft : nil
      ) { [checkpoint = model.checkpoint] in try device.makeBackend(for: checkpoint) }
    }

    var speeds = Role.allCases.map { _ in [Double]() }
    var work = SpeculationWork(maxDrafts: settings.maxDrafts)
    var deviceName = ""
    // Every role comes first, second and third equally often.
    func order(_ turn: Int) -> [Role] { Role.allCases.map { Role.allCases[($0.rawValue + turn) % 3] } }
    for round in 0..<rounds {
      var engines: [Role: Engine] = [:]
      defer { for engine in engines.values { engine.stop() } }
      for role in order(round) {
        let engine = try start(role)
        engines[role] = engine
        deviceName = engine.information.device
        // Warm, so that the policy knows what steps cost and the prompts are in the prefix caches.
        _ = try tokensPerSecond(engine, prompts, tokens)
      }
      let before = engines[.speculative]?.statistics().speculation
      for repetition in 0..<repetitions {
        for role in order(repetition) {
          guard let engine = engines[role] else { continue }
          speeds[role.rawValue].append(try tokensPerSecond(engine, prompts, tokens))
        }
      }
      if let before, let after = engines[.speculative]?.statistics().speculation {
        work.add(from: before, to: after)
      }
    }
    let (plain, with, again) = (speeds[0], speeds[1], speeds[2])
    var report = BenchReport(name: name)
    report.setting = [
      ("model", path), ("device", deviceName), ("method", settings.methodName),
      ("tokens drafted at most", "\(settings.maxDrafts)"), ("adaptive", settings.adapts ? "yes" : "no"),
      ("batch", "\(batch)"), ("output tokens of a sequence", "\(tokens)"),
      ("runs", "\(rounds) starts of the engines, \(repetitions) each"),
    ]
    report.add("plain, median", median(plain + again), "tokens/s")
    report.add("speculative, median", median(with), "tokens/s")
    report.add("median of the ratios run by run", median(ratios(with, plain, again)), "times")
    let without = harmonicMean(plain + again)
    report.add("ratio of all tokens and all time", harmonicMean(with) / without, "times")
    report.add("predicted from acceptance and step times", work.gain(plain: without), "times")
    report.add("plain over plain, run by run", median(zip(again, plain).map { $0 / $1 }), "times")
    report.add("plain over plain, all time", harmonicMean(again) / harmonicMean(plain), "times")
    for (length, seconds) in work.secondsByLength {
      report.add(length == 0 ? "step without drafts" : "step with \(length)", 1e6 * seconds, "us")
    }
    report.add("drafted", work.drafted, "tokens")
    report.add("accepted", 100 * work.accepted / max(work.drafted, 1), "%")
    report.add("accepted, given those before", 100 * work.acceptance, "%")
    return report
  }

  /// To the mean of the two plain runs beside each.
  private static func ratios(_ with: [Double], _ plain: [Double], _ again: [Double]) -> [Double] {
    with.indices.map { 2 * with[$0] / (plain[$0] + again[$0]) }
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
