internal import CPUBackend
internal import Compute
internal import Models
internal import Numerics

extension CompressionMethod {
  /// SpQR (arXiv 2306.03078): GPTQ in groups of 16 with quantised statistics, and the weights that would cost most kept
  /// in 16 bits wherever they lie.
  static let spqr = CompressionMethod(
    name: "spqr", summary: "GPTQ in small groups, single outlying weights in 16 bits", need: .gram,
    store: .extended, roundsActivations: false, largestGroup: SpQRSweep.largestGroup,
    defaults: { recipe in
      recipe.scheme = LayerScheme(bits: 3, groupSize: 16, convention: .realZero)
      recipe.options.damping = 1
      recipe.options.outlierThreshold = 0.2
    }
  ) { problem, options, backend in
    try SpQR.solve(problem, options, backend)
  }
}

enum SpQR {
  static func solve(
    _ problem: LinearProblem, _ options: Recipe.Options, _ backend: CPUBackend
  ) throws -> CompressedLinear {
    guard let statistics = problem.statistics else { throw MethodError.needsCalibration(method: "spqr") }
    guard let bits = problem.scheme.bits else { throw MethodError.needsBits(method: "spqr") }
    guard let size = problem.scheme.groupSize, size <= SpQRSweep.largestGroup else {
      throw MethodError.unsupported(
        method: "spqr", reason: "groups of at most \(SpQRSweep.largestGroup) inputs, usually 16")
    }
    let (rows, columns) = (problem.weight.rows, problem.weight.columns)
    let hessian = try OptimalBrain.hessian(statistics, problem)
    var order = options.actOrder == .none ? nil : OptimalBrain.byDiagonal(hessian)
    var notes: [String] = []
    let brain: OptimalBrain
    do {
      brain = try OptimalBrain(problem, hessian: hessian, order: order, damping: options.damping, backend)
      notes = brain.notes
    } catch OptimalBrain.Failure.notPositiveDefinite(let tries) {
      // Inputs that have nothing to do with each other: every weight by itself, in the same store.
      let identity = Matrix(rows: columns, columns: columns)
      for column in 0..<columns { identity[column, column] = 1 }
      order = nil
      brain = try OptimalBrain(problem, hessian: identity, order: nil, damping: 0, backend)
      notes.append(
        "the Gram matrix is not positive definite after \(tries) tries; rounded to nearest instead")
    }
    var sweep = SpQRSweep(
      weight: brain.weight, factor: brain.factor,
      grid: Grid(.realZero, bits: bits, groupSize: size, scaleType: problem.scaleType))
    sweep.blockSize = options.blockSize
    sweep.threshold = threshold(options.outlierThreshold, brain)
    try sweep.run(on: backend)

    let type = problem.scaleType
    let groups = sweep.quantized.groups
    let blocks = Shape((rows + SpQRSweep.blockRows - 1) / SpQRSweep.blockRows, groups)
    var starts: [Int32] = [0]
    var places: [Int32] = []
    var kept: [Float] = []
    for row in 0..<rows {
      for column in 0..<columns where sweep.outliers[row * columns + column] != 0 {
        places.append(Int32(column))
        kept.append(brain.weight[row, column])
      }
      starts.append(Int32(places.count))
    }
    do throws(StoreError) {
      let weight = try SpQRWeight(
        outputs: rows, inputs: columns, bits: bits, groupSize: size, blockRows: SpQRSweep.blockRows,
        codes: HostTensor.packed(sweep.quantized.codes, bits: bits, rows: rows, columns: columns),
        statisticBits: sweep.statisticBits,
        scaleCodes: HostTensor.packed(
          sweep.scaleCodes, bits: sweep.statisticBits, rows: rows, columns: groups),
        zeroCodes: HostTensor.packed(
          sweep.zeroCodes, bits: sweep.statisticBits, rows: rows, columns: groups),
        scaleGrid: .init(
          scale: HostTensor.narrowed(sweep.scaleScales, type, blocks),
          zero: HostTensor.narrowed(sweep.scaleZeros, type, blocks)),
        zeroGrid: .init(
          scale: HostTensor.narrowed(sweep.zeroScales, type, blocks),
          zero: HostTensor.narrowed(sweep.zeroZeros, type, blocks)),
        outliers: .init(
          rowStarts: HostTensor.copy(starts, .int32, Shape(starts.count)),
          columns: HostTensor.copy(places, .int32, Shape(places.count)),
          values: HostTensor.narrowed(kept, type, Shape(kept.count))),
        order: order.map { HostTensor.copy($0.map { Int32($0) }, .int32, Shape(columns)) })
      return CompressedLinear(.spqr(weight), values: brain.unordered(brain.weight), notes: notes)
    } catch { throw MethodError.store(module: problem.site.module, error) }
  }

  /// τ in units of what pruning a typical weight would cost: the mean over columns of the weights' variance over
  /// `U[j, j]²`.
  private static func threshold(_ relative: Double?, _ brain: OptimalBrain) -> Float {
    guard let relative else { return .infinity }
    let (rows, columns) = (brain.weight.rows, brain.weight.columns)
    var sum = 0.0
    for column in 0..<columns {
      var (total, squares) = (0.0, 0.0)
      for row in 0..<rows {
        let value = Double(brain.weight[row, column])
        total += value
        squares += value * value
      }
      let mean = total / Double(rows)
      let variance = (squares - total * mean) / Double(Swift.max(rows - 1, 1))
      let diagonal = Double(brain.factor[column, column])
      sum += variance / (diagonal * diagonal)
    }
    return Float(relative * sum / Double(Swift.max(columns, 1)))
  }
}
