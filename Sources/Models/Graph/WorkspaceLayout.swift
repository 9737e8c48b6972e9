internal import Compute
internal import Numerics
internal import Scheduling

/// Where each buffer of the forward pass lies in one reservation.
///
/// ```
/// residual [T, H] | hidden [T, H] | projected [T, H] | shared | logits … | rope | slopes | step
///
/// shared, attention    | qkv [T, (Hq + 2·Hkv)·D] | attention [T, Hq·D] |
/// shared, feed-forward | gate and up [T, 2·I or I] | activated [T, I]      |
/// logits               | gathered residual and projected [R, H] twice | logits [R, V] float32 |
/// rope                 | [maxModelLength, rotaryDimension] float32; streams send theirs with the step
/// adapted              | [T, adapterColumns], see `ModelGraph+Adapters`
/// stream               | sink query [T, Hq·D] | int32 [2·T], see `StreamingPositions`
/// slopes               | [Hq] float32
/// step                 | see `StepInputs`
/// ```
/// Attention and feed-forward never need their buffers at the same time, so they share memory.
struct WorkspaceLayout: Equatable {
  private(set) var byteCount = 0
  let maxTokens: Int
  let maxLogitRows: Int

  let residual: Int
  let hidden: Int
  let projected: Int
  let queryKeyValue: Int
  let attention: Int
  let gateUp: Int
  let activated: Int
  let gatheredResidual: Int
  let gatheredProjected: Int
  let logits: Int
  let rope: Int
  let adapted: Int
  let sinkQuery: Int
  let streamRows: Int
  let slopes: Int
  let step: Int
  let stepCapacity: StepInputs.Capacity

  init(
    _ configuration: ModelConfiguration, limits: ModelLimits, activationType: DataType
  ) throws(ModelError) {
    let tokens = limits.maxBatchTokens
    let rows = Swift.min(limits.maxLogitRows, tokens)
    let hiddenSize = configuration.hiddenSize
    let size = activationType.byteCount
    var cursor = Cursor()
    maxTokens = tokens
    maxLogitRows = rows

    residual = try cursor.reserve(tokens, hiddenSize, size)
    hidden = try cursor.reserve(tokens, hiddenSize, size)
    projected = try cursor.reserve(tokens, hiddenSize, size)

    let shared = cursor
    queryKeyValue = try cursor.reserve(
      tokens, configuration.queryWidth + 2 * configuration.keyValueWidth, size)
    attention = try cursor.reserve(tokens, configuration.queryWidth, size)
    let afterAttention = cursor
    cursor = shared
    var feedForwardWidth = configuration.intermediateSize
    if case .gated = configuration.decoder.feedForward { feedForwardWidth *= 2 }
    gateUp = try cursor.reserve(tokens, feedForwardWidth, size)
    activated = try cursor.reserve(tokens, configuration.intermediateSize, size)
    cursor.advance(to: afterAttention)

    gatheredResidual = try cursor.reserve(rows, hiddenSize, size)
    gatheredProjected = try cursor.reserve(rows, hiddenSize, size)
    logits = try cursor.reserve(rows, configuration.vocabularySize, 4)

    var rotary = 0
    if case .rope(let parameters) = configuration.decoder.positions { rotary = parameters.rotaryDimension }
    adapted = try cursor.reserve(limits.maxAdapterRank > 0 ? tokens : 0, limits.adapterColumns, size)
    let streams = limits.policy != nil && rotary > 0
    rope = try cursor.reserve(streams ? 0 : limits.maxModelLength, rotary, 4)
    sinkQuery = try cursor.reserve(streams ? tokens : 0, configuration.queryWidth, size)
    streamRows = try cursor.reserve(streams ? 2 * tokens : 0, 1, 4)
    slopes = try cursor.reserve(configuration.queryHeads, 1, 4)
    let samples = limits.samples(configuration, activationType)
    stepCapacity = try StepInputs.Capacity(
      limits, groups: CacheGroups(configuration, limits).groups.count,
      angleBytes: streams ? StreamingPositions.byteCount(tokens: tokens, rotaryDimension: rotary) : 0,
      settingsBytes: samples ? limits.samplingCapacity(configuration).inputBytes : 0)
    step = try cursor.reserve(stepCapacity.byteCount, 1, 1)
    byteCount = cursor.offset
  }

  /// Hands out offsets aligned to 256 bytes: a full line of any memory, and what vector loads of any device need.
  struct Cursor {
    private(set) var offset = 0

    mutating func reserve(_ rows: Int, _ columns: Int, _ size: Int) throws(ModelError) -> Int {
      let start = offset
      let (elements, overflow) = rows.multipliedReportingOverflow(by: columns)
      let (bytes, bytesOverflow) = elements.multipliedReportingOverflow(by: size)
      let (end, endOverflow) = start.addingReportingOverflow(bytes)
      guard !overflow, !bytesOverflow, !endOverflow, end <= Self.limit else {
        throw .limit(name: "the workspace of \(rows) rows of \(columns)", found: rows, allowed: "less")
      }
      offset = (end + 255) & ~255
      return start
    }

    mutating func advance(to other: Cursor) { offset = Swift.max(offset, other.offset) }

    /// Far above any memory, and far from overflow.
    private static let limit = 1 << 50
  }
}
