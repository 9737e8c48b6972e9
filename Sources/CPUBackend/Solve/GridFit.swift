internal import CCPUBackend
package import Numerics

/// How codes of `bits` bits stand for values: `scale · (code − zero)`, codes from 0. The three symmetric conventions
/// in the world differ in the scale, so it is stored and never inferred.
package enum GridConvention: String, Sendable, CaseIterable {
  /// `scale = 2·max|w| / (2^b − 1)`, zero in the middle: GPTQ, compressed-tensors.
  case symmetric
  /// `scale = max|w| / (2^(b−1) − 1)`, the lowest code unused: LLM.int8, SmoothQuant.
  case symmetricNarrow = "symmetric-narrow"
  /// `scale = 2·max|w| / 2^b`: ZeroQuant.
  case symmetricFull = "symmetric-full"
  /// The zero is a code, and 0 lies in the range: GPTQ, AWQ.
  case asymmetric
  /// Raw range and a real zero: SpQR, HQQ.
  case realZero = "real-zero"

  var code: gpi_grid {
    switch self {
    case .symmetric: GPI_GRID_SYMMETRIC
    case .symmetricNarrow: GPI_GRID_NARROW
    case .symmetricFull: GPI_GRID_FULL
    case .asymmetric: GPI_GRID_ASYMMETRIC
    case .realZero: GPI_GRID_REAL_ZERO
    }
  }

  package var isSymmetric: Bool { self != .asymmetric && self != .realZero }
}

/// A convention with its size, and the type its scales will be stored in: they are rounded to it before the codes
/// are chosen, so that nothing is lost when they are written.
package struct Grid: Sendable, Equatable {
  package var convention: GridConvention
  /// 2 to 8.
  package var bits: Int
  /// Inputs that share a scale.
  package var groupSize: Int
  package var scaleType: DataType

  package init(_ convention: GridConvention, bits: Int, groupSize: Int, scaleType: DataType) {
    self.convention = convention
    self.bits = bits
    self.groupSize = groupSize
    self.scaleType = scaleType
  }

  var arguments: gpi_grid_args {
    let type =
      switch scaleType {
      case .float16: GPI_SCALE_FLOAT16
      case .bfloat16: GPI_SCALE_BFLOAT16
      default: GPI_SCALE_FLOAT32
      }
    return gpi_grid_args(
      grid: convention.code, scale_type: type, bits: Int32(bits), group: groupSize)
  }
}

/// Codes of a matrix with the grid of each row and group.
package struct QuantizedRows {
  package let rows: Int
  package let columns: Int
  package let grid: Grid
  package let groups: Int
  /// `[rows, columns]`; empty where weights were only pruned.
  package var codes: [UInt8]
  /// `[rows, groups]`.
  package var scales: [Float]
  package var zeros: [Float]

  package init(rows: Int, columns: Int, grid: Grid) {
    precondition((2...8).contains(grid.bits) && grid.groupSize > 0, "a grid of 2 to 8 bits")
    self.rows = rows
    self.columns = columns
    self.grid = grid
    groups = (columns + grid.groupSize - 1) / grid.groupSize
    codes = Array(repeating: 0, count: rows * columns)
    scales = Array(repeating: 1, count: rows * groups)
    zeros = Array(repeating: 0, count: rows * groups)
  }

  /// Codes, scales and zeros, all three to be written.
  mutating func withPointers<Result>(
    _ body: (UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<Float>?, UnsafeMutablePointer<Float>?) ->
      Result
  ) -> Result {
    // Taken out, so that writing to all three at once is no overlapping access, and no copy.
    var (codes, scales, zeros): ([UInt8], [Float], [Float]) = ([], [], [])
    swap(&codes, &self.codes)
    swap(&scales, &self.scales)
    swap(&zeros, &self.zeros)
    defer {
      swap(&codes, &self.codes)
      swap(&scales, &self.scales)
      swap(&zeros, &self.zeros)
    }
    return unsafe codes.withUnsafeMutableBufferPointer { codes in
      unsafe scales.withUnsafeMutableBufferPointer { scales in
        unsafe zeros.withUnsafeMutableBufferPointer { zeros in
          unsafe body(codes.baseAddress, scales.baseAddress, zeros.baseAddress)
        }
      }
    }
  }
}

extension CPUBackend {
  /// Rounds every weight to the nearest code (RTN).
  ///
  /// - Parameters:
  ///   - fitted: the scales and zeros in `result` are kept; otherwise they are fitted to the weights' range, times
  ///     `shrink`.
  ///   - values: receives what the codes stand for; may be `weight` itself.
  package func quantize(
    _ weight: Matrix, into result: inout QuantizedRows, fitted: Bool = false, shrink: Float = 1,
    values: Matrix? = nil
  ) {
    precondition(weight.rows == result.rows && weight.columns == result.columns, "of another size")
    precondition(
      values.map { $0.rows == weight.rows && $0.columns == weight.columns } ?? true, "of another size")
    guard weight.rows > 0, weight.columns > 0 else { return }
    let grid = result.grid.arguments
    unsafe result.withPointers { codes, scales, zeros in
      var arguments = unsafe gpi_quantize_args(
        grid: grid, weight: weight.address(0, 0), weight_stride: weight.columns, scales: scales,
        zeros: zeros, codes: codes, values: values?.address(0, 0), values_stride: weight.columns,
        rows: weight.rows, columns: weight.columns, shrink: shrink, fitted: fitted ? 1 : 0)
      unsafe gpi_quantize(context, &arguments)
    }
  }
}
