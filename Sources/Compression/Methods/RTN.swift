internal import CPUBackend
internal import Compute
internal import Models

extension CompressionMethod {
  /// Round to nearest: each weight by itself, no data. What every other method is measured against.
  static let rtn = CompressionMethod(
    name: "rtn", summary: "round to nearest, no calibration", need: .nothing
  ) { problem, options, backend in
    try Rounding.solve(problem, options, backend, method: "rtn")
  }
}

enum Rounding {
  static func solve(
    _ problem: LinearProblem, _ options: Recipe.Options, _ backend: CPUBackend, method: String
  ) throws -> CompressedLinear {
    guard let bits = problem.scheme.bits else { throw MethodError.needsBits(method: method) }
    var rows = QuantizedRows(
      rows: problem.weight.rows, columns: problem.weight.columns, grid: problem.grid(bits: bits))
    let values = Matrix(rows: rows.rows, columns: rows.columns)
    backend.quantize(problem.weight, into: &rows, values: values)
    return try finish(rows, values: values, problem, options, backend)
  }

  /// The store of codes, with the low-rank correction of what they lose where one is wanted.
  static func finish(
    _ rows: QuantizedRows, values: Matrix, groupIndex: [Int32]? = nil, outliers: OutlierColumns? = nil,
    _ problem: LinearProblem, _ options: Recipe.Options, _ backend: CPUBackend, notes: [String] = []
  ) throws -> CompressedLinear {
    let activations = try activations(problem, options)
    let weight: IntegerWeight
    do throws(StoreError) {
      weight = try rows.weight(groupIndex: groupIndex, outliers: outliers, activations: activations)
    } catch { throw MethodError.store(module: problem.site.module, error) }
    var result = CompressedLinear(.integer(weight), values: values, notes: notes)
    if options.rank > 0 { try LowRank.correct(&result, problem, rank: options.rank, backend) }
    return result
  }

  private static func activations(
    _ problem: LinearProblem, _ options: Recipe.Options
  ) throws(MethodError) -> IntegerActivations? {
    switch problem.scheme.activations {
    case .none: return nil
    case .token: return .token(outlierThreshold: options.outlierThreshold.map { Float($0) })
    case .tensor:
      guard let statistics = problem.statistics else {
        throw .needsCalibration(method: "--activations tensor")
      }
      // Inputs that were never anything but zero need no scale, but the format wants one.
      let largest = statistics.absoluteMaximum.max() ?? 0
      return .tensor(scale: largest > 0 ? largest / 127 : 1, zero: 0)
    }
  }
}
