internal import CPUBackend
internal import Checkpoints
internal import Compression
internal import JSON
internal import Models
internal import Numerics
internal import Synchronization
internal import Tokenizers

/// `gpuinfer compress`: a smaller model from a larger one, with a report of what that cost.
enum CompressCommand: Command {
  static let specification = CommandSpecification(
    name: "compress", summary: "Quantise or prune a model, and report what it cost.",
    positionals: [.model],
    options: CompressFlags.options + [
      .value("--output", "DIR", aliases: ["-o"], "The directory to write."),
      .value(
        "--format", "FORMAT", default: "compressed-tensors",
        "compressed-tensors, gptq, gptq_v2, awq, or dense: dequantised, loads everywhere."),
      .value(
        "--calibration", "FILE",
        "Token ids (safetensors, integer tensors [T] or [n, T]) or text to measure activations on."),
      .value("--samples", "N", default: "128", "Calibration samples, at most."),
      .value("--sequence-length", "N", default: "512", "Tokens in a sample cut from text."),
      .value("--eval-text", "FILE", "Text to compare both models on, for the report."),
      .value("--eval-context", "N", default: "256", "Tokens in a window of that text."),
      .value("--eval-windows", "N", default: "80", "Windows of it, at most."),
      .flag("--no-evaluation", "Leave quality and speed out of the report."),
      .flag("--json", "Print the report as JSON."),
      .value("--threads", "N", default: "one per core", "Threads that compute."),
      .value(
        "--dtype", "TYPE", default: "float32",
        "Arithmetic of the calibration's matrix products: float32, or bfloat16, up to twice as fast."),
    ],
    discussion: """
      Methods:
      \(table(methods, leftWidth: 14))
      The run can be interrupted; the same command goes on with the layer it was at. compression_report.json and .md
      are written beside the weights. Without --eval-text quality is measured on the calibration samples, which
      flatters calibrated methods.
      """)

  static func run(_ arguments: ParsedArguments) throws {
    let output = try arguments.require("--output", command: specification.name)
    if arguments.string("--method") == "structured" { return try prune(arguments, output: output) }
    let recipe = try CompressFlags.recipe(arguments)
    let format = try arguments.choice("--format", as: CheckpointFormat.self) ?? .compressedTensors
    let threads = try arguments.integer("--threads", in: 1...1024)
    let source = try Checkpoint.open(try ModelPath.resolve(arguments.positional(0)))
    let configuration = try ModelRegistry.configuration(from: source.configuration)
    let calibration = try CompressFlags.calibration(arguments, source, configuration)
    var job = Compressor.Job(source: source, recipe: recipe, calibration: calibration, output: output)
    job.format = format

    let isStopped = Stop()
    let signals = TerminationSignals()
    let backend = try backend(arguments, threads: threads)
    var progress = ProgressLine("compressing layer", total: configuration.layers.count)
    let compressor = try Compressor(
      job, backend: backend, shouldStop: { isStopped.isSet }, progress: { done, _ in progress.update(done) })
    try signals.onFirst { isStopped.set() }
    let summary: CompressionSummary
    do {
      summary = try compressor.run()
    } catch is Calibrator.Stopped {
      throw Failure(.interrupted, "interrupted; run the same command again to go on")
    }
    try finish(arguments, summary, source, threads, calibration)
  }

  private static var methods: [(String, String)] {
    MethodRegistry.methods.map { ($0.name, $0.summary) }
      + [("structured", "take out whole heads and feed-forward channels: a smaller ordinary model")]
  }

  /// Structured pruning changes shapes, not stores, so it has a way of its own.
  private static func prune(_ arguments: ParsedArguments, output: String) throws {
    let parts = StructuredPruner.Parts(
      heads: try arguments.number("--prune-heads", in: 0...1) ?? 0,
      channels: try arguments.number("--prune-channels", in: 0...1) ?? 0,
      isUniform: arguments.has("--uniform"))
    let layers = try arguments.number("--prune-layers", in: 0...1) ?? 0
    let hidden = try arguments.number("--prune-hidden", in: 0...1) ?? 0
    let inLayers = parts.heads > 0 || parts.channels > 0
    guard inLayers || layers > 0 || hidden > 0 else {
      throw UsageError.missingOption(
        "--prune-heads, --prune-channels, --prune-layers or --prune-hidden", command: specification.name)
    }
    for (option, part, others) in [
      ("--prune-layers", layers, inLayers || hidden > 0), ("--prune-hidden", hidden, inLayers || layers > 0),
    ] where part > 0 && others {
      throw UsageError.invalidValue(
        option: option, value: "\(part)",
        expected:
          "alone: take out layers first, then hidden components, then heads and channels of what is left")
    }
    let source = try Checkpoint.open(try ModelPath.resolve(arguments.positional(0)))
    let configuration = try ModelRegistry.configuration(from: source.configuration)
    guard let calibration = try CompressFlags.calibration(arguments, source, configuration) else {
      throw MethodError.needsCalibration(method: "structured")
    }
    let threads = try arguments.integer("--threads", in: 1...1024)
    let backend = try backend(arguments, threads: threads)
    let passes = hidden > 0 ? 2 : 1
    var progress = ProgressLine("pruning layer", total: passes * configuration.layers.count)
    if hidden > 0 {
      var pruner = try HiddenPruner(source, part: hidden, calibration: calibration, backend: backend)
      try pruner.run(output: output) { done, _ in progress.update(done) }
    } else if layers > 0 {
      var pruner = try LayerPruner(source, part: layers, calibration: calibration, backend: backend)
      try pruner.run(output: output) { done, _ in progress.update(done) }
    } else {
      var pruner = try StructuredPruner(source, parts, calibration: calibration, backend: backend)
      try pruner.run(output: output) { done, _ in progress.update(done) }
    }
    try finish(
      arguments,
      CompressionSummary(
        structured: parts, layers: layers, hidden: hidden, source: source, output: output,
        calibration: calibration),
      source, threads, calibration)
  }

  /// Measures the output, and writes and prints the report.
  private static func finish(
    _ arguments: ParsedArguments, _ summary: CompressionSummary, _ source: Checkpoint, _ threads: Int?,
    _ calibration: CalibrationSet?
  ) throws {
    var report = CompressionReport(summary)
    try CompressEvaluation(arguments, source: source, threads: threads, calibration: calibration)
      .complete(&report)
    try Journal.write(report.json, to: summary.output + "/compression_report.json")
    try Journal.write(Array(report.markdown.utf8), to: summary.output + "/compression_report.md")
    Console.write(arguments.has("--json") ? report.json.serialized(.pretty) + "\n" : report.markdown)
  }

  private enum CalibrationType: String, CaseIterable { case float32, bfloat16 }

  private static func backend(_ arguments: ParsedArguments, threads: Int?) throws -> CPUBackend {
    let type = try arguments.choice("--dtype", as: CalibrationType.self) ?? .float32
    if type == .bfloat16 { DeviceChoice.sayWhetherBFloat16IsEmulated() }
    return CPUBackend(threads: threads, productType: type == .bfloat16 ? .bfloat16 : .float32)
  }

  /// Set by the thread that waits for signals, read by the one that works.
  private final class Stop: Sendable {
    private let flag = Atomic(false)
    var isSet: Bool { flag.load(ordering: .relaxed) }
    func set() { flag.store(true, ordering: .relaxed) }
  }
}
