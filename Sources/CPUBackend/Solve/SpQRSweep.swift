internal import CCPUBackend
package import Compute

/// The sweep of SpQR: groups of few columns whose scales and zeros are quantised too, over sixteen rows at a time, and
/// single weights that keep 16 bits.
package struct SpQRSweep {
  /// Rows that share a second level of statistics.
  package static let blockRows = 16
  /// The most columns of a group.
  package static let largestGroup = Int(GPI_SPQR_GROUP)

  /// Afterwards what the weights became.
  package let weight: Matrix
  package let factor: Matrix
  package private(set) var quantized: QuantizedRows
  /// 0 to keep scales and zeros as they are fitted.
  package var statisticBits = 3
  /// A weight stays as it is where its squared error over `U[c, c]²` would be greater.
  package var threshold: Float = .infinity
  package var blockSize = 128
  /// `[rows, groups]`.
  package private(set) var scaleCodes: [UInt8]
  package private(set) var zeroCodes: [UInt8]
  /// `[ceil(rows / 16), groups]` each.
  package private(set) var scaleScales: [Float]
  package private(set) var scaleZeros: [Float]
  package private(set) var zeroScales: [Float]
  package private(set) var zeroZeros: [Float]
  /// `[rows, columns]`, 1 where a weight was kept.
  package private(set) var outliers: [UInt8]
  package private(set) var loss: [Double]

  package init(weight: Matrix, factor: Matrix, grid: Grid) {
    precondition(
      factor.rows == factor.columns && factor.rows == weight.columns, "the factor does not fit the weight")
    precondition(grid.groupSize <= Self.largestGroup, "a group of SpQR is small")
    self.weight = weight
    self.factor = factor
    quantized = QuantizedRows(rows: weight.rows, columns: weight.columns, grid: grid)
    let (statistics, blocks) = (weight.rows * quantized.groups, (weight.rows + 15) / 16 * quantized.groups)
    scaleCodes = Array(repeating: 0, count: statistics)
    zeroCodes = scaleCodes
    scaleScales = Array(repeating: 0, count: blocks)
    scaleZeros = scaleScales
    zeroScales = scaleScales
    zeroZeros = scaleScales
    outliers = Array(repeating: 0, count: weight.rows * weight.columns)
    loss = Array(repeating: 0, count: weight.rows)
  }

  package mutating func run(on backend: CPUBackend) throws(KernelError) {
    let group = quantized.grid.groupSize
    let step = Swift.max(group, Swift.min(blockSize, Int(GPI_SWEEP_COLUMNS)) / group * group)
    for start in stride(from: 0, to: weight.columns, by: step) {
      let block = start..<Swift.min(start + step, weight.columns)
      let error = Matrix(rows: weight.rows, columns: block.count)
      try sweep(block, error, backend)
      let waiting = block.upperBound..<weight.columns
      if !waiting.isEmpty {
        try backend.multiply(error, factor, rows: block, columns: waiting, factor: -1, into: weight)
      }
    }
  }

  private mutating func sweep(
    _ block: Range<Int>, _ error: Matrix, _ backend: CPUBackend
  ) throws(KernelError) {
    var arguments = unsafe gpi_spqr_args()
    unsafe arguments.grid = quantized.grid.arguments
    unsafe arguments.weight = weight.address(0, 0)
    unsafe arguments.weight_stride = weight.columns
    unsafe arguments.factor = UnsafePointer(factor.address(0, 0))
    unsafe arguments.factor_stride = factor.columns
    unsafe arguments.error = error.address(0, 0)
    unsafe arguments.statistic_bits = Int32(statisticBits)
    unsafe arguments.threshold = threshold
    unsafe arguments.rows = weight.rows
    unsafe arguments.columns = weight.columns
    unsafe arguments.first = block.lowerBound
    unsafe arguments.count = block.count
    unsafe arguments.groups = quantized.groups
    // Local copies, as writing to several properties at once would be an overlapping access.
    var (scaleCodes, zeroCodes, outliers) = (self.scaleCodes, self.zeroCodes, self.outliers)
    var (scaleScales, scaleZeros) = (self.scaleScales, self.scaleZeros)
    var (zeroScales, zeroZeros, loss) = (self.zeroScales, self.zeroZeros, self.loss)
    let missing = unsafe quantized.withPointers { codes, scales, zeros in
      unsafe arguments.codes = codes
      unsafe arguments.scales = scales
      unsafe arguments.zeros = zeros
      return unsafe scaleCodes.withUnsafeMutableBufferPointer { scaleCodes in
        unsafe zeroCodes.withUnsafeMutableBufferPointer { zeroCodes in
          unsafe outliers.withUnsafeMutableBufferPointer { outliers in
            unsafe scaleScales.withUnsafeMutableBufferPointer { scaleScales in
              unsafe scaleZeros.withUnsafeMutableBufferPointer { scaleZeros in
                unsafe zeroScales.withUnsafeMutableBufferPointer { zeroScales in
                  unsafe zeroZeros.withUnsafeMutableBufferPointer { zeroZeros in
                    unsafe loss.withUnsafeMutableBufferPointer { loss in
                      unsafe arguments.scale_codes = scaleCodes.baseAddress
                      unsafe arguments.zero_codes = zeroCodes.baseAddress
                      unsafe arguments.outliers = outliers.baseAddress
                      unsafe arguments.scale_scales = scaleScales.baseAddress
                      unsafe arguments.scale_zeros = scaleZeros.baseAddress
                      unsafe arguments.zero_scales = zeroScales.baseAddress
                      unsafe arguments.zero_zeros = zeroZeros.baseAddress
                      unsafe arguments.loss = loss.baseAddress
                      return unsafe gpi_spqr(backend.context, &arguments)
                    }
                  }
                }
              }
            }
          }
        }
      }
    }
    (self.scaleCodes, self.zeroCodes, self.outliers) = (scaleCodes, zeroCodes, outliers)
    (self.scaleScales, self.scaleZeros) = (scaleScales, scaleZeros)
    (self.zeroScales, self.zeroZeros, self.loss) = (zeroScales, zeroZeros, loss)
    try OperandChecks("spqr").finish(missing)
  }
}
