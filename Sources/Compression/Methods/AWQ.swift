internal import CPUBackend
internal import Compute
internal import Glibc
internal import Models

extension CompressionMethod {
  /// AWQ (arXiv 2306.00978): input channels that are large in the activations are scaled up before rounding, and their
  /// producer scaled down; then outlying weights of each group are clipped where that helps.
  ///
  /// Both searches measure the squared error of the layer's outputs over all calibration tokens, from their Gram
  /// matrix, where the authors run the block on a sample. The identity is always among the candidates.
  static let awq = CompressionMethod(
    name: "awq", summary: "channel scales and clipping by activations, then rounding", need: .gram,
    defaults: { $0.scheme.convention = .asymmetric },
    balance: AWQ.factors
  ) { problem, options, backend in
    try AWQ.solve(problem, options, backend)
  }
}

enum AWQ {
  /// The factors with the smallest output error of all layers that read the channels; nil when none beats the identity.
  static func factors(
    _ problems: [LinearProblem], _ statistics: ActivationStatistics, _ options: Recipe.Options,
    _ backend: CPUBackend
  ) throws -> [Float]? {
    guard let gram = statistics.gram?.copy() else { throw MethodError.needsCalibration(method: "awq") }
    gram.mirrorUpper()
    let sizes = statistics.meanAbsolute
    let weights = relativeWeights(problems)
    var best: (loss: Double, factors: [Float])?
    let identity = try loss(problems, Array(repeating: 1, count: sizes.count), gram, backend)
    for step in 1...options.searchSteps {
      let ratio = Float(step) / Float(options.searchSteps)
      for usesWeights in [false, true] {
        let raw = sizes.indices.map { channel in
          let activation = powf(Swift.max(sizes[channel], 1e-8), ratio)
          return usesWeights
            ? activation / (powf(weights[channel], 1 - ratio) + 1e-4) : Swift.max(activation, 1e-4)
        }
        guard let factors = normalised(raw) else { continue }
        let found = try loss(problems, factors, gram, backend)
        if found < best?.loss ?? identity { best = (found, factors) }
      }
    }
    return best?.factors
  }

  /// Their geometric middle brought to 1; nil where they are not finite.
  private static func normalised(_ factors: [Float]) -> [Float]? {
    guard let least = factors.min(), let greatest = factors.max(), least > 0, greatest.isFinite else {
      return nil
    }
    let middle = (least * greatest).squareRoot()
    let result = factors.map { $0 / middle }
    return result.allSatisfy { $0.isFinite && $0 > 0 } ? result : nil
  }

  /// Mean over rows of a weight's part of the largest in its group.
  private static func relativeWeights(_ problems: [LinearProblem]) -> [Float] {
    guard let first = problems.first else { return [] }
    var sums = [Double](repeating: 0, count: first.weight.columns)
    var rows = 0
    for problem in problems {
      let weight = problem.weight
      let group = problem.scheme.groupSize ?? weight.columns
      rows += weight.rows
      for row in 0..<weight.rows {
        for start in stride(from: 0, to: weight.columns, by: group) {
          let columns = start..<Swift.min(start + group, weight.columns)
          var largest: Float = 0
          for column in columns { largest = Swift.max(largest, weight[row, column].magnitude) }
          if largest == 0 { continue }
          for column in columns { sums[column] += Double(weight[row, column].magnitude / largest) }
        }
      }
    }
    return sums.map { Float($0 / Double(Swift.max(rows, 1))) }
  }

  /// `Σ (x · (Ŵ − W)ᵀ)²` over all tokens and outputs, with `Ŵ` rounded after scaling.
  private static func loss(
    _ problems: [LinearProblem], _ factors: [Float], _ gram: Matrix, _ backend: CPUBackend
  ) throws -> Double {
    var sum = 0.0
    let inverse = factors.map { 1 / $0 }
    for problem in problems {
      guard let bits = problem.scheme.bits else { continue }
      let scaled = problem.weight.copy()
      scaled.scaleColumns(by: factors)
      var rows = QuantizedRows(
        rows: scaled.rows, columns: scaled.columns, grid: problem.grid(bits: bits))
      backend.quantize(scaled, into: &rows, values: scaled)
      scaled.scaleColumns(by: inverse)
      scaled.subtract(problem.weight)
      sum += try backend.quadraticForms(scaled, gram).reduce(0, +)
    }
    return sum
  }

  /// Rounds to nearest, each group's range shrunk as far as that lowers its own output error.
  static func solve(
    _ problem: LinearProblem, _ options: Recipe.Options, _ backend: CPUBackend
  ) throws -> CompressedLinear {
    // Clipping queries and keys harms the scores more than the error of their outputs tells (llm-awq leaves them out).
    let isScore =
      problem.site.role == .query || problem.site.role == .key || problem.site.role == .queryKeyValue
    guard options.clips, !isScore, let statistics = problem.statistics, let gram = statistics.gram?.copy(),
      let bits = problem.scheme.bits
    else { return try Rounding.solve(problem, options, backend, method: "awq") }
    gram.mirrorUpper()
    let grid = problem.grid(bits: bits)
    var best = QuantizedRows(rows: problem.weight.rows, columns: problem.weight.columns, grid: grid)
    var losses = [Double](repeating: .infinity, count: best.rows * best.groups)
    for step in 0..<10 {
      var rows = best
      let error = Matrix(rows: best.rows, columns: best.columns)
      backend.quantize(problem.weight, into: &rows, shrink: 1 - Float(step) / 20, values: error)
      error.subtract(problem.weight)
      for group in 0..<best.groups {
        let columns = group * grid.groupSize..<Swift.min((group + 1) * grid.groupSize, best.columns)
        let forms = try backend.quadraticForms(error, columns: columns, gram)
        for row in 0..<best.rows where forms[row] < losses[row * best.groups + group] {
          losses[row * best.groups + group] = forms[row]
          best.scales[row * best.groups + group] = rows.scales[row * best.groups + group]
          best.zeros[row * best.groups + group] = rows.zeros[row * best.groups + group]
        }
      }
    }
    let values = Matrix(rows: best.rows, columns: best.columns)
    backend.quantize(problem.weight, into: &best, fitted: true, values: values)
    return try Rounding.finish(best, values: values, problem, options, backend)
  }
}
