internal import Checkpoints
internal import Compute
internal import Generation
internal import Models

/// A model for the commands that compute whole texts, without an engine: `eval`, `score`, `bench model`.
struct DirectModel {
  let checkpoint: Checkpoint
  let graph: ModelGraph

  /// - Parameter longestWindow: tokens in the longest text that will be computed at once.
  init(_ arguments: ParsedArguments, longestWindow: Int) throws {
    try self.init(
      path: try ModelPath.resolve(arguments.positional(0)), arguments, longestWindow: longestWindow,
      isUnderTest: true)
  }

  /// Another model on the same device, as it is, whose cache is as good as its activations: a reference.
  init(path: String, _ arguments: ParsedArguments, longestWindow: Int) throws {
    try self.init(path: path, arguments, longestWindow: longestWindow, isUnderTest: false)
  }

  private init(
    path: String, _ arguments: ParsedArguments, longestWindow: Int, isUnderTest: Bool
  ) throws {
    let checkpoint = try Checkpoint.open(path)
    let device = try DeviceChoice(arguments)
    self.checkpoint = checkpoint
    var limits = ModelLimits(
      maxBatchTokens: max(longestWindow, Self.stepTokens),
      maxSequences: max(1, Self.stepTokens / max(longestWindow, 1)), maxModelLength: longestWindow,
      maxLogitRows: Self.logitRows)
    if isUnderTest {
      limits.cacheType = try CacheTypeFlag.type(arguments, on: device.profile(for: checkpoint))
      limits.quantization = try QuantizationFlag.quantization(arguments)
    }
    graph = try ModelGraph(
      checkpoint: checkpoint, backend: device.makeBackend(for: checkpoint), limits: limits)
  }

  /// Enough rows to keep the matrix products busy, few enough that their activations stay in the cache.
  private static let stepTokens = 512
  private static let logitRows = 64
}
