internal import CPUBackend
internal import Checkpoints
internal import Compression
internal import Compute
internal import Generation
internal import JSON
internal import Models
internal import Tokenizers

/// Measures what the report of a compression says about quality, memory and speed.
struct CompressEvaluation {
  private let source: Checkpoint
  private let threads: Int?
  private let windows: [[Int32]]
  private let text: String?
  private let isWanted: Bool

  init(
    _ arguments: ParsedArguments, source: Checkpoint, threads: Int?, calibration: CalibrationSet?
  ) throws {
    self.source = source
    self.threads = threads
    isWanted = !arguments.has("--no-evaluation")
    let limit = try arguments.integer("--eval-windows", in: 1...1_000_000) ?? 80
    if let path = arguments.string("--eval-text") {
      let context = try arguments.integer("--eval-context", in: 2...1_000_000) ?? 256
      let tokens = try LoadedTokenizer.load(source).encode(try Files.read(path), addSpecialTokens: false)
      windows = Array(ComparisonWindows.cut(tokens, context: context).prefix(limit))
      guard !windows.isEmpty else {
        throw Failure(
          .badData,
          "\(path) has \(tokens.count) tokens, fewer than one window of \(context); lower --eval-context")
      }
      text = "\(windows.count) windows of \(context) tokens of \(path)"
    } else {
      windows = Array((calibration?.samples ?? []).filter { $0.count > 1 }.prefix(limit))
      text = windows.isEmpty ? nil : "\(windows.count) of the calibration samples (no --eval-text was given)"
    }
  }

  func complete(_ report: inout CompressionReport) throws {
    let output = try Checkpoint.open(report.summary.output)
    report.outputBytes = CheckpointSummary(output).fileBytes
    guard isWanted else { return }
    let longest = max(windows.map(\.count).max() ?? 0, Self.speedTokens)
    let original = try graph(source, longest: longest)
    let compressed: ModelGraph
    do {
      compressed = try graph(output, longest: longest)
    } catch let error as ModelError {
      // The weights are written; that this build cannot run them is for the report, not a failure of the run.
      Console.error("quality and speed were not measured: \(error)")
      return
    }
    report.sourceResidentBytes = original.memoryPlan.weightBytes
    report.residentBytes = compressed.memoryPlan.weightBytes
    if let text {
      var progress = ProgressLine("comparing window", total: windows.count)
      let comparison = try ModelComparison.measure(
        windows, reference: WindowScorer(graph: original, longestWindow: longest),
        candidate: WindowScorer(graph: compressed, longestWindow: longest)
      ) { done in
        progress.update(done)
        return true
      }
      report.quality = comparison?.json
      report.qualityText = text
    }
    report.speed = [
      "device": .string(original.backend.name), "source": try speed(original),
      "output": try speed(compressed),
    ]
  }

  private static let speedTokens = 128

  private func graph(_ checkpoint: Checkpoint, longest: Int) throws -> ModelGraph {
    try ModelGraph(
      checkpoint: checkpoint, backend: CPUBackend(threads: threads),
      limits: ModelLimits(
        maxBatchTokens: max(longest, 512), maxSequences: max(1, 512 / max(longest, 1)),
        maxModelLength: longest, maxLogitRows: 64))
  }

  private func speed(_ graph: ModelGraph) throws -> JSONValue {
    let benchmark = try ModelBenchmark(graph: graph, batch: 1, longest: Self.speedTokens)
    let prefill = try benchmark.prefill(tokens: Self.speedTokens, repetitions: 3)
    let decode = try benchmark.decode(context: 64, steps: 32, repetitions: 3)
    return ["prefill": .double(prefill.median), "decode": .double(decode.median)]
  }
}

/// A text in windows that do not overlap; a last short one is left out.
enum ComparisonWindows {
  static func cut(_ tokens: [Int32], context: Int) -> [[Int32]] {
    stride(from: 0, through: tokens.count - context, by: context).map { Array(tokens[$0..<$0 + context]) }
  }
}
