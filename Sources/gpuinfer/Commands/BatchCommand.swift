internal import Generation
internal import Server

/// `gpuinfer batch`: a file of OpenAI batch lines, resumable.
enum BatchCommand: Command {
  static let specification = CommandSpecification(
    name: "batch", summary: "Answer a file of OpenAI batch lines; resumes where it stopped.",
    positionals: [.model],
    options: [
      .value("--input", "FILE", aliases: ["-i"], "Batch lines for /v1/completions and /v1/chat/completions."),
      .value(
        "--output", "FILE", aliases: ["-o"], "Where answers are appended, one line each, as they finish."),
      .value(
        "--shard", "I/N", default: "0/1", "Answer only the lines whose number leaves I when divided by N."),
      .value("--concurrency", "N", default: "64", "Lines in the engine at once."),
      .repeated("--served-model-name", "NAME", "The model's name in the lines."),
      .value("--max-logprobs", "N", default: "20", "Most alternatives a line may ask for."),
    ] + ToolFlags.options + EngineFlags.options,
    discussion: """
      The output is all the state there is. A run that was interrupted or killed, started again with the same
      arguments, answers what is missing and repeats nothing. Bad lines get an error line.
      """)

  static func run(_ arguments: ParsedArguments) throws {
    let input = try arguments.require("--input", command: specification.name)
    let output = try arguments.require("--output", command: specification.name)
    var options = BatchOptions()
    options.shard = try shard(arguments.string("--shard") ?? "0/1")
    options.concurrency = try arguments.integer("--concurrency", in: 1...100_000) ?? options.concurrency
    var serverOptions = ServerOptions()
    serverOptions.maximumLogprobs =
      try arguments.integer("--max-logprobs", in: 0...1_000_000) ?? serverOptions.maximumLogprobs
    serverOptions.usesPriorities = arguments.string("--scheduling-policy") == "priority"
    try ToolFlags.apply(arguments, to: &serverOptions)
    guard ModelPath.exists(input) else { throw Files.failure("open", input) }

    let signals = TerminationSignals()
    let path = try ModelPath.resolve(arguments.positional(0))
    let concurrency = options.concurrency
    let host = try EngineHost(arguments, path: path, names: arguments.strings("--served-model-name")) {
      $0.maxQueuedRequests = max($0.maxQueuedRequests, concurrency)
    }
    defer { host.engine.stop() }
    let meter = BatchMeter()
    let runner = try BatchRunner(
      host.served, input: input, output: output, options: options, serverOptions: serverOptions
    ) { meter.show($0, $1) }
    try signals.onFirst { runner.cancel() }
    let report = try runner.run()
    meter.end()
    Console.error(
      "\(report.completed) answered, \(report.failed) failed, \(report.skipped) done by an earlier run"
        + (report.isCancelled ? "; interrupted, run the same command again to go on" : ""))
    if report.isCancelled { throw Failure(.interrupted, "") }
  }

  private static func shard(_ text: String) throws(UsageError) -> BatchOptions.Shard {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
    guard parts.count == 2, let index = parts[0], let count = parts[1], count >= 1,
      (0..<count).contains(index)
    else {
      throw .invalidValue(option: "--shard", value: text, expected: "of the form I/N with 0 <= I < N")
    }
    return BatchOptions.Shard(index: index, count: count)
  }
}

/// The count of finished lines, redrawn on a terminal from whichever thread finished one.
private final class BatchMeter: Sendable {
  private let started = ContinuousClock.now

  func show(_ report: BatchReport, _ pace: BatchPace) {
    guard Console.errorIsTerminal else { return }
    var text = "\(report.completed) answered, \(report.failed) failed"
    if let ratio = pace.leftOverFinished {
      let elapsed = started.duration(to: .now) / .seconds(1)
      text += ", about \(Int((elapsed * ratio).rounded())) s left"
    }
    Console.errorInPlace("\r\u{1B}[K" + text)
  }

  func end() {
    if Console.errorIsTerminal { Console.errorInPlace("\r\u{1B}[K") }
  }
}
