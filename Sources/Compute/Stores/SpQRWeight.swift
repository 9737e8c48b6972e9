internal import Numerics

/// SpQR (arXiv 2306.03078): small groups whose scales and zeros are themselves quantised, and single weights kept in
/// 16 bits.
///
///     scale[n, g] = scaleGrid.scale[b, g] · (scaleCode[n, g] − scaleGrid.zero[b, g])      b = n / blockRows
///     zero[n, g]  = zeroGrid.scale[b, g]  · (zeroCode[n, g]  − zeroGrid.zero[b, g])
///     W[n, k]     = scale[n, g] · (code[n, k] − zero[n, g]),  or the outlier's own value
package struct SpQRWeight {
  /// Scale and (real) zero of the statistics of `blockRows` outputs. Each float16, bfloat16 or float32 `[ceil(N / blockRows), G]`.
  package struct Grid {
    package let scale: Tensor
    package let zero: Tensor

    package init(scale: Tensor, zero: Tensor) {
      self.scale = scale
      self.zero = zero
    }

    var byteCount: Int { scale.byteCount + zero.byteCount }
  }

  /// Weights that replace what the codes say, row by row.
  package struct Outliers {
    /// int32 `[N + 1]`: row `n` owns `rowStarts[n]..<rowStarts[n + 1]`.
    package let rowStarts: Tensor
    /// int32 `[count]`, ascending in a row.
    package let columns: Tensor
    /// float16, bfloat16 or float32 `[count]`.
    package let values: Tensor

    package init(rowStarts: Tensor, columns: Tensor, values: Tensor) {
      self.rowStarts = rowStarts
      self.columns = columns
      self.values = values
    }

    package var count: Int { columns.shape[0] }
    var byteCount: Int { rowStarts.byteCount + columns.byteCount + values.byteCount }
  }

  package let outputs: Int
  package let inputs: Int
  package let bits: Int
  package let groupSize: Int
  /// Outputs that share second-level statistics.
  package let blockRows: Int
  /// int32 `[N, ceil(K · bits / 32)]`.
  package let codes: Tensor
  /// Bits of a scale's or zero's code.
  package let statisticBits: Int
  /// int32 `[N, ceil(G · statisticBits / 32)]`, each row a `PackedCodes` stream.
  package let scaleCodes: Tensor
  package let zeroCodes: Tensor
  package let scaleGrid: Grid
  package let zeroGrid: Grid
  package let outliers: Outliers
  /// int32 `[K]`: stored column `j` is input channel `order[j]` (outlier columns are stored columns too).
  package let order: Tensor?

  package var groups: Int { inputs / groupSize }

  /// - Throws: for parts that do not fit together. Elements are not looked at here (`validateValues` does).
  package init(
    outputs: Int, inputs: Int, bits: Int, groupSize: Int, blockRows: Int, codes: Tensor,
    statisticBits: Int, scaleCodes: Tensor, zeroCodes: Tensor, scaleGrid: Grid, zeroGrid: Grid,
    outliers: Outliers, order: Tensor? = nil
  ) throws(StoreError) {
    guard IntegerWeight.supportedBits.contains(bits) else {
      throw .bits(bits, supported: IntegerWeight.supportedBits)
    }
    guard (1...8).contains(statisticBits) else {
      throw .bits(statisticBits, supported: [Int](1...8))
    }
    guard groupSize > 0, blockRows > 0, inputs > 0, inputs % groupSize == 0 else {
      throw .groupSize(groupSize, inputs: inputs)
    }
    let groups = inputs / groupSize
    let statisticWords = PackedCodes.wordCount(groups, bits: statisticBits)
    try StoreChecks.tensor(
      codes, "codes", [outputs, PackedCodes.wordCount(inputs, bits: bits)], [.int32])
    try StoreChecks.tensor(scaleCodes, "scale codes", [outputs, statisticWords], [.int32])
    try StoreChecks.tensor(zeroCodes, "zero codes", [outputs, statisticWords], [.int32])
    let blocks = [(outputs + blockRows - 1) / blockRows, groups]
    for (name, tensor) in [
      ("scales of scales", scaleGrid.scale), ("zeros of scales", scaleGrid.zero),
      ("scales of zeros", zeroGrid.scale), ("zeros of zeros", zeroGrid.zero),
    ] {
      try StoreChecks.tensor(tensor, name, blocks, StoreChecks.scaleTypes)
    }
    let count = outliers.columns.shape.elementCount
    try StoreChecks.tensor(outliers.columns, "outlier columns", [count], [.int32])
    try StoreChecks.tensor(outliers.values, "outlier values", [count], StoreChecks.scaleTypes)
    try StoreChecks.tensor(outliers.rowStarts, "outlier row starts", [outputs + 1], [.int32])
    if let order { try StoreChecks.tensor(order, "order", [inputs], [.int32]) }
    self.outputs = outputs
    self.inputs = inputs
    self.bits = bits
    self.groupSize = groupSize
    self.blockRows = blockRows
    self.codes = codes
    self.statisticBits = statisticBits
    self.scaleCodes = scaleCodes
    self.zeroCodes = zeroCodes
    self.scaleGrid = scaleGrid
    self.zeroGrid = zeroGrid
    self.outliers = outliers
    self.order = order
  }

  package var byteCount: Int {
    codes.byteCount + scaleCodes.byteCount + zeroCodes.byteCount + scaleGrid.byteCount
      + zeroGrid.byteCount + outliers.byteCount + (order?.byteCount ?? 0)
  }

  /// Looks at every statistic, outlier and index: host memory only.
  package func validateValues() throws(StoreError) {
    try StoreChecks.finite(scaleGrid.scale, "scales of scales")
    try StoreChecks.finite(scaleGrid.zero, "zeros of scales")
    try StoreChecks.finite(zeroGrid.scale, "scales of zeros")
    try StoreChecks.finite(zeroGrid.zero, "zeros of zeros")
    try StoreChecks.finite(outliers.values, "outlier values")
    if let order { try StoreChecks.permutation(order, "order", count: inputs) }
    _ = try StoreChecks.indices(outliers.columns, "outlier columns", limit: inputs)
    let name = "outlier row starts"
    let starts = try StoreChecks.indices(outliers.rowStarts, name, limit: outliers.count + 1)
    if starts[0] != 0 { throw .indexOutOfRange(operand: name, index: 0, value: starts[0], limit: 1) }
    for row in 0..<outputs where starts[row + 1] < starts[row] {
      throw .notAscending(operand: name, index: row + 1)
    }
    if starts[outputs] != outliers.count {
      throw .shape(operand: "outlier values", found: [outliers.count], expected: [starts[outputs]])
    }
  }

  /// Scale and zero of each group of one output.
  package func statistics(ofRow row: Int) -> (scales: [Float], zeros: [Float]) {
    let block = row / blockRows * groups
    func values(_ codes: Tensor, _ grid: Grid) -> [Float] {
      Self.row(row, of: codes, bits: statisticBits, count: groups).enumerated().map { group, code in
        grid.scale.float(at: block + group) * (Float(code) - grid.zero.float(at: block + group))
      }
    }
    return (values(scaleCodes, scaleGrid), values(zeroCodes, zeroGrid))
  }

  /// One row of W in channel order.
  package func copyRow(_ row: Int, into target: UnsafeMutableBufferPointer<Float>) {
    let (scale, zero) = statistics(ofRow: row)
    let channels = order?.integers
    for (column, code) in Self.row(row, of: codes, bits: bits, count: inputs).enumerated() {
      let group = column / groupSize
      unsafe target[channels?[column] ?? column] = scale[group] * (Float(code) - zero[group])
    }
    for entry in outliers.rowStarts.integer(at: row)..<outliers.rowStarts.integer(at: row + 1) {
      let column = outliers.columns.integer(at: entry)
      unsafe target[channels?[column] ?? column] = outliers.values.float(at: entry)
    }
  }

  private static func row(_ row: Int, of words: Tensor, bits: Int, count: Int) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      let base = unsafe words.view.address.assumingMemoryBound(to: UInt32.self)
      unsafe PackedCodes.unpack(
        base + row * words.shape[1], bits: bits,
        into: UnsafeMutableBufferPointer(rebasing: buffer[0..<count]))
      initialized = count
    }
  }
}
