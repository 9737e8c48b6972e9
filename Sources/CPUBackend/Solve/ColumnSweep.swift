internal import CCPUBackend
package import Compute

/// The column sweep of optimal brain surgeon methods: one column after the other is rounded or pruned, and what that
/// loses is made up for by the columns behind it.
///
///     columns   | done | block          | waiting                      |
///                        ──────────────►  W −= E · U[block, waiting]     once a block, a matrix product
///                        e ⊗ U[c, c…]     after each column, in the block
///
/// `U` is the factor of the damped inverse Gram matrix. The result does not depend on where blocks end but for rounding.
package struct ColumnSweep {
  /// Which weights become zero.
  package enum Pruning: Sendable, Equatable {
    /// `fraction` of each block of columns, over all rows, by w² / U[c, c]².
    case unstructured(fraction: Double)
    /// All but `keep` of each `of` neighbours.
    case pattern(keep: Int, of: Int)
    /// Those of `mask` given beforehand.
    case given
  }

  /// The weights, `[rows, columns]`; afterwards what they became.
  package let weight: Matrix
  package let factor: Matrix
  /// Codes, scales and zeros; nil to prune only.
  package var quantized: QuantizedRows?
  /// Group of each column, whose scales are in `quantized` already; nil to fit groups of neighbours on the way.
  package var staticGroups: [Int32]?
  package var pruning: Pruning?
  /// `[rows, columns]`, 1 where a weight is pruned; needed, or added to, where there is pruning. What is 1 beforehand stays
  /// zero and counts among what is pruned, so that masks of growing sparsity lie inside each other.
  package var mask: [UInt8] = []
  /// Columns from here on are left as they are, but take up errors (OWQ).
  package var columnLimit: Int
  package var blockSize = 128
  /// `Σ e² / 2` of each row: half of what the output error `ΔW · H · ΔWᵀ` has become.
  package private(set) var loss: [Double]

  package init(weight: Matrix, factor: Matrix) {
    precondition(
      factor.rows == factor.columns && factor.rows == weight.columns, "the factor does not fit the weight")
    self.weight = weight
    self.factor = factor
    columnLimit = weight.columns
    loss = Array(repeating: 0, count: weight.rows)
  }

  package mutating func run(on backend: CPUBackend) throws(KernelError) {
    if pruning != nil, mask.isEmpty { mask = Array(repeating: 0, count: weight.rows * weight.columns) }
    for block in blocks() {
      if case .unstructured(let fraction) = pruning { chooseMask(block, fraction) }
      let error = Matrix(rows: weight.rows, columns: block.count)
      try sweep(block, error, backend)
      let waiting = block.upperBound..<weight.columns
      if !waiting.isEmpty {
        try backend.multiply(error, factor, rows: block, columns: waiting, factor: -1, into: weight)
      }
    }
  }

  /// Blocks end between groups and between runs of a pattern, so that each is seen whole.
  package func blocks() -> [Range<Int>] {
    var step = Swift.max(1, Swift.min(blockSize, Int(GPI_SWEEP_COLUMNS)))
    var unit = 1
    if let quantized, staticGroups == nil {
      let group = quantized.grid.groupSize
      unit = group <= step ? group : 1
    }
    if case .pattern(_, let of) = pruning { unit = unit % of == 0 ? unit : unit * of }
    step = Swift.max(unit, step / unit * unit)
    var blocks: [Range<Int>] = []
    var start = 0
    while start < columnLimit {
      var end = Swift.min(start + step, columnLimit)
      if let quantized, staticGroups == nil, quantized.grid.groupSize > step {
        let group = quantized.grid.groupSize
        end = Swift.min(end, (start / group + 1) * group)
      }
      blocks.append(start..<end)
      start = end
    }
    return blocks
  }

  /// The smallest scores of a block over all rows.
  private mutating func chooseMask(_ block: Range<Int>, _ fraction: Double) {
    var scores: [Float] = []
    scores.reserveCapacity(weight.rows * block.count)
    // The diagonal lies a row apart in memory: it is read once.
    let diagonal = block.map { factor[$0, $0] }
    for row in 0..<weight.rows {
      for column in block {
        let scaled = weight[row, column] / diagonal[column - block.lowerBound]
        scores.append(mask[row * weight.columns + column] == 0 ? scaled * scaled : 0)
      }
    }
    let chosen = smallest(Int(Double(scores.count) * fraction), of: scores)
    var index = 0
    for row in 0..<weight.rows {
      for column in block {
        if chosen[index] { mask[row * weight.columns + column] = 1 }
        index += 1
      }
    }
  }

  private mutating func sweep(
    _ block: Range<Int>, _ error: Matrix, _ backend: CPUBackend
  ) throws(KernelError) {
    var arguments = unsafe gpi_sweep_args()
    unsafe arguments.weight = weight.address(0, 0)
    unsafe arguments.weight_stride = weight.columns
    unsafe arguments.factor = UnsafePointer(factor.address(0, 0))
    unsafe arguments.factor_stride = factor.columns
    unsafe arguments.error = error.address(0, 0)
    unsafe arguments.rows = weight.rows
    unsafe arguments.columns = columnLimit
    unsafe arguments.first = block.lowerBound
    unsafe arguments.count = block.count
    if case .pattern(let keep, let of) = pruning {
      unsafe arguments.keep = keep
      unsafe arguments.keep_of = of
    }
    unsafe arguments.result_stride = weight.columns
    var (loss, mask): ([Double], [UInt8]) = ([], [])
    swap(&loss, &self.loss)
    swap(&mask, &self.mask)
    var result = quantized
    quantized = nil
    defer {
      swap(&loss, &self.loss)
      swap(&mask, &self.mask)
      quantized = result
    }
    let groups = staticGroups ?? []
    let missing = unsafe groups.withUnsafeBufferPointer { groups in
      unsafe loss.withUnsafeMutableBufferPointer { loss in
        unsafe mask.withUnsafeMutableBufferPointer { mask in
          unsafe arguments.loss = loss.baseAddress
          unsafe arguments.mask = pruning == nil ? nil : mask.baseAddress
          unsafe arguments.group_of = staticGroups == nil ? nil : groups.baseAddress
          guard let grid = result?.grid, let groups = result?.groups else {
            return unsafe gpi_sweep(backend.context, &arguments)
          }
          unsafe arguments.grid = grid.arguments
          unsafe arguments.groups = groups
          return unsafe result?.withPointers { codes, scales, zeros in
            unsafe arguments.codes = codes
            unsafe arguments.scales = scales
            unsafe arguments.zeros = zeros
            return unsafe gpi_sweep(backend.context, &arguments)
          } ?? 0
        }
      }
    }
    try OperandChecks("sweep").finish(missing)
  }
}
