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
  /// int32 `[2 T]`: 0, 1, 2 …
  let rows: TensorView
  /// `[T, Hq·D]`
  let sinkQuery: TensorView
  let maxTokens: Int
  /// Where the step's angles lie in its block, in bytes.
  private var start = 0

  init(
    _ retention: KVRetention, frequencies: [Float], attentionFactor: Float, rows: TensorView,
    sinkQuery: TensorView, maxTokens: Int
  ) {
    self.retention = retention
    self.frequencies = frequencies
    self.attentionFactor = attentionFactor
    self.rows = rows
    self.sinkQuery = sinkQuery
    self.maxTokens = maxTokens
  }

  /// Writes the numbers of the table's rows, once.
  func fillRows(_ backend: any Backend) throws(KernelError) {
    let numbers = (0..<Int32(2 * maxTokens)).map { $0 }
    try unsafe numbers.withUnsafeBufferPointer { numbers throws(KernelError) in
      try unsafe backend.upload(UnsafeRawBufferPointer(numbers), to: rows)
    }
    try backend.synchronize()
  }

  /// Bytes of the angles of `tokens` tokens.
  static func byteCount(tokens: Int, rotaryDimension: Int) -> Int { 2 * tokens * rotaryDimension * 4 }

  /// Writes the step's angles behind its integers.
  ///
  /// - Parameter offset: where they may begin, in bytes.
  /// - Returns: where they end.
  mutating func write(_ positions: [Int32], to host: UnsafeMutableRawPointer, from offset: Int) -> Int {
    start = StepInputs.Capacity.aligned(offset)
    let columns = 2 * frequencies.count
    let table = unsafe UnsafeMutableBufferPointer(
      start: (host + start).assumingMemoryBound(to: Float.self), count: 2 * positions.count * columns)
    let last = retention.sinks + retention.window - 1
    for half in 0..<2 {
      for (token, position) in positions.enumerated() {
        let place = half == 0 ? Int(position) : min(Int(position), last)
        unsafe RopeTable.fill(
          table, row: half * positions.count + token, position: place, frequencies: frequencies,
          attentionFactor: attentionFactor)
      }
    }
    return start + Self.byteCount(tokens: positions.count, rotaryDimension: columns)
  }

  /// float32 `[2 T, rotaryDimension]`: the step's tokens at their positions, then at their places in the cache.
  func table(in block: any StepBlock, tokens count: Int) -> TensorView {
    unsafe TensorView(
      address: block.address + start, shape: Shape(2 * count, 2 * frequencies.count), dataType: .float32)
  }
}
