internal import Compute
internal import Numerics
internal import Scheduling

/// Rope for endless streams with attention sinks.
///
/// StreamingLLM numbers keys by their place in the cache: sinks 0 … s−1, then the window's, and the query last. Rope
/// looks at distances only, and within the window these are the true ones. So keys are cached turned to their
/// true positions, once, and only for the sinks a query is turned a second time, to its place in the cache:
///
/// ```
/// keys          sinks 0 … s−1        window p−w+1 … p
/// query         at min(p, s+w−1)     at p
/// ```
/// The angles are computed for the tokens of each step, in double precision: there is no table that a stream could
/// leave, and no distance is the difference of two rounded angles.
struct StreamingPositions {
  let retention: KVRetention
  let frequencies: [Float]
  let attentionFactor: Float
  /// float32 `[2 T, rotaryDimension]`: the step's tokens at their positions, then at their places in the cache.
  let table: TensorView
  /// int32 `[2 T]`: 0, 1, 2 …
  let rows: TensorView
  /// `[T, Hq·D]`
  let sinkQuery: TensorView
  let maxTokens: Int
  private var staging: [Float]

  init(
    _ retention: KVRetention, frequencies: [Float], attentionFactor: Float, table: TensorView,
    rows: TensorView,
    sinkQuery: TensorView, maxTokens: Int
  ) {
    self.retention = retention
    self.frequencies = frequencies
    self.attentionFactor = attentionFactor
    self.table = table
    self.rows = rows
    self.sinkQuery = sinkQuery
    self.maxTokens = maxTokens
    staging = Array(repeating: 0, count: maxTokens * 2 * frequencies.count)
  }

  /// Writes the numbers of the table's rows, once.
  func fillRows(_ backend: any Backend) throws(KernelError) {
    let numbers = (0..<Int32(2 * maxTokens)).map { $0 }
    try unsafe numbers.withUnsafeBufferPointer { numbers throws(KernelError) in
      try unsafe backend.upload(UnsafeRawBufferPointer(numbers), to: rows)
    }
    try backend.synchronize()
  }

  /// Computes the step's angles.
  mutating func upload(_ positions: [Int32], to backend: any Backend) throws(KernelError) {
    let pairs = frequencies.count
    let last = retention.sinks + retention.window - 1
    for half in 0..<2 {
      for (token, position) in positions.enumerated() {
        let place = half == 0 ? Int(position) : min(Int(position), last)
        RopeTable.fill(
          &staging, row: token, position: place, frequencies: frequencies, attentionFactor: attentionFactor)
      }
      let count = positions.count * 2 * pairs
      try unsafe staging.withUnsafeBufferPointer { values throws(KernelError) in
        try unsafe backend.upload(
          UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: values[..<count])),
          to: table.rows(half * maxTokens..<half * maxTokens + positions.count))
      }
    }
  }
}
