internal import CPUBackend
internal import Compute

extension CompressionMethod {
  /// GPTQ (arXiv 2210.17323): columns are rounded one after the other, and those to come make up for the error.
  static let gptq = CompressionMethod(
    name: "gptq", summary: "rounding with error compensation by second-order statistics", need: .gram,
    defaults: { $0.options.actOrder = .weight }
  ) { problem, options, backend in
    try GPTQ.solve(problem, options, backend)
  }
}

enum GPTQ {
  static func solve(
    _ problem: LinearProblem, _ options: Recipe.Options, _ backend: CPUBackend,
    pruning: ColumnSweep.Pruning? = nil, mask: [UInt8] = []
  ) throws -> CompressedLinear {
    guard let statistics = problem.statistics else {
      throw MethodError.needsCalibration(method: "gptq")
    }
    guard let bits = problem.scheme.bits else { throw MethodError.needsBits(method: "gptq") }
    let grid = problem.grid(bits: bits)
    let hessian = try OptimalBrain.hessian(statistics, problem)
    let order: [Int]? =
      switch options.actOrder {
      case .none: nil
      case .weight, .group: OptimalBrain.byDiagonal(hessian)
      case .groupAware: OptimalBrain.groupAware(hessian, groupSize: grid.groupSize)
      }
    let brain: OptimalBrain
    do {
      brain = try OptimalBrain(problem, hessian: hessian, order: order, damping: options.damping, backend)
    } catch OptimalBrain.Failure.notPositiveDefinite(let tries) {
      var result = try Rounding.solve(problem, options, backend, method: "gptq")
      result.notes.append(
        "the Gram matrix is not positive definite after \(tries) tries; rounded to nearest instead")
      return result
    }
    var sweep = ColumnSweep(weight: brain.weight, factor: brain.factor)
    sweep.blockSize = options.blockSize
    var rows = QuantizedRows(rows: problem.weight.rows, columns: problem.weight.columns, grid: grid)
    // Groups that stay where they are cannot be fitted on the way, as their columns come scattered.
    let isScattered = options.actOrder == .weight && rows.groups > 1
    if options.staticGroups || isScattered {
      backend.quantize(problem.weight, into: &rows)
      let groupSize = Int32(grid.groupSize)
      sweep.staticGroups = brain.order.map { Int32($0) / groupSize }
      if options.actOrder == .group {
        sweep.staticGroups = (0..<Int32(rows.columns)).map { $0 / groupSize }
        backend.quantize(problem.weight.selectingColumns(brain.order), into: &rows)
      }
    }
    sweep.quantized = rows
    sweep.pruning = pruning
    if !mask.isEmpty { sweep.mask = brain.ordered(mask, rows: rows.rows) }
    try sweep.run(on: backend)
    guard var swept = sweep.quantized else { throw MethodError.needsBits(method: "gptq") }
    swept.codes = brain.unordered(swept.codes, rows: swept.rows)
    var groupIndex: [Int32]?
    switch options.actOrder {
    case .none, .weight: break
    case .group where swept.groups > 1:
      groupIndex = brain.inverse.map { Int32($0 / grid.groupSize) }
    case .group: break
    case .groupAware:
      // The sweep numbered groups in its own order.
      if sweep.staticGroups == nil { swept.renumberGroups(brain.order) }
    }
    return try Rounding.finish(
      swept, values: brain.unordered(sweep.weight), groupIndex: groupIndex, problem, options, backend,
      notes: brain.notes)
  }
}

extension QuantizedRows {
  /// Scales and zeros of groups that were swept in another order, each whole, back in that of the inputs.
  mutating func renumberGroups(_ order: [Int]) {
    let size = grid.groupSize
    let (oldScales, oldZeros) = (scales, zeros)
    for group in 0..<groups {
      let target = order[group * size] / size
      for row in 0..<rows {
        scales[row * groups + target] = oldScales[row * groups + group]
        zeros[row * groups + target] = oldZeros[row * groups + group]
      }
    }
  }
}

extension OptimalBrain {
  /// A mask in the order of the sweep.
  func ordered(_ mask: [UInt8], rows: Int) -> [UInt8] {
    let columns = order.count
    var result = mask
    for row in 0..<rows {
      for (place, channel) in order.enumerated() {
        result[row * columns + place] = mask[row * columns + channel]
      }
    }
    return result
  }
}
