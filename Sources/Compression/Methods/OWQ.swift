internal import CPUBackend
internal import Compute
internal import Numerics

extension CompressionMethod {
  /// OWQ (arXiv 2306.02272): the input columns whose rounding would cost most stay in 16 bits; GPTQ for the rest, whose
  /// errors they help to make up for.
  static let owq = CompressionMethod(
    name: "owq", summary: "GPTQ with the most sensitive input columns in 16 bits", need: .gram,
    store: .extended, defaults: { $0.scheme.groupSize = nil }
  ) { problem, options, backend in
    let count = Int((Double(problem.weight.columns) * options.outlierColumns).rounded())
    return try OWQ.solve(problem, options, backend, outliers: count)
  }
}

enum OWQ {
  static func solve(
    _ problem: LinearProblem, _ options: Recipe.Options, _ backend: CPUBackend, outliers: Int
  ) throws -> CompressedLinear {
    guard let statistics = problem.statistics else { throw MethodError.needsCalibration(method: "owq") }
    guard let bits = problem.scheme.bits else { throw MethodError.needsBits(method: "owq") }
    let (rows, columns) = (problem.weight.rows, problem.weight.columns)
    let grid = problem.grid(bits: bits)
    let hessian = try OptimalBrain.hessian(statistics, problem)
    var fitted = QuantizedRows(rows: rows, columns: columns, grid: grid)
    let kept = try sensitive(problem, hessian, fitted, backend, count: outliers)
    let isKept = Set(kept)
    // Kept columns last, so that they take up the error of all others.
    let order = (0..<columns).filter { !isKept.contains($0) } + kept
    let brain: OptimalBrain
    do {
      brain = try OptimalBrain(problem, hessian: hessian, order: order, damping: options.damping, backend)
    } catch OptimalBrain.Failure.notPositiveDefinite(let tries) {
      var result = try Rounding.solve(problem, options, backend, method: "owq")
      result.notes.append(
        "the Gram matrix is not positive definite after \(tries) tries; rounded to nearest instead")
      return result
    }
    var sweep = ColumnSweep(weight: brain.weight, factor: brain.factor)
    sweep.blockSize = options.blockSize
    sweep.columnLimit = columns - kept.count
    // Kept columns do not stretch the grid of the others.
    let rest = problem.weight.copy()
    for row in 0..<rows { for column in kept { rest[row, column] = 0 } }
    backend.quantize(rest, into: &fitted)
    if !kept.isEmpty {
      sweep.staticGroups = order.map { Int32($0 / grid.groupSize) }
    }
    sweep.quantized = fitted
    try sweep.run(on: backend)
    guard var swept = sweep.quantized else { throw MethodError.needsBits(method: "owq") }
    swept.codes = brain.unordered(swept.codes, rows: rows)
    let values = brain.unordered(sweep.weight)
    var columnsTensor: OutlierColumns?
    if !kept.isEmpty {
      let type: DataType = problem.scaleType == .float32 ? .float32 : problem.scaleType
      let block = values.selectingColumns(kept)
      block.round(to: type)
      for row in 0..<rows {
        for (place, column) in kept.enumerated() {
          values[row, column] = block[row, place]
          // A code that stands for zero, whoever reads it without the columns.
          let zero = swept.zeros[row * swept.groups + column / grid.groupSize]
          swept.codes[row * columns + column] = UInt8(zero)
        }
      }
      columnsTensor = OutlierColumns(
        indices: HostTensor.copy(kept.map { Int32($0) }, .int32, Shape(kept.count)),
        columns: block.tensor(type))
    }
    return try Rounding.finish(
      swept, values: values, outliers: columnsTensor, problem, options, backend, notes: brain.notes)
  }

  /// The columns with the greatest `H[j, j] · ‖W[:, j] − Q(W)[:, j]‖²`, ascending.
  static func sensitive(
    _ problem: LinearProblem, _ hessian: Matrix, _ rows: QuantizedRows, _ backend: CPUBackend, count: Int
  ) throws -> [Int] {
    guard count > 0 else { return [] }
    var rounded = rows
    let error = Matrix(rows: rows.rows, columns: rows.columns)
    backend.quantize(problem.weight, into: &rounded, values: error)
    error.subtract(problem.weight)
    let costs = (0..<rows.columns).map { column in
      var sum = 0.0
      for row in 0..<rows.rows { sum += Double(error[row, column]) * Double(error[row, column]) }
      return sum * Double(hessian[column, column])
    }
    let order = costs.indices.sorted { costs[$0] != costs[$1] ? costs[$0] > costs[$1] : $0 < $1 }
    return order.prefix(count).sorted()
  }
}
