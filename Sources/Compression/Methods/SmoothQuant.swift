internal import CPUBackend
internal import Compute
internal import Glibc

extension CompressionMethod {
  /// SmoothQuant (arXiv 2211.10438): int8 weights and activations; what makes activations hard to round is moved into
  /// the weights, channel by channel, by `a^α / w^(1−α)`.
  static let smoothQuant = CompressionMethod(
    name: "smoothquant", summary: "int8 weights and activations, outliers moved into the weights",
    need: .gram,
    defaults: { recipe in
      recipe.scheme = LayerScheme(
        bits: 8, groupSize: nil, convention: .symmetricNarrow, activations: .token)
    },
    balance: SmoothQuant.factors
  ) { problem, options, backend in
    try Rounding.solve(problem, options, backend, method: "smoothquant")
  }
}

enum SmoothQuant {
  static func factors(
    _ problems: [LinearProblem], _ statistics: ActivationStatistics, _ options: Recipe.Options,
    _ backend: CPUBackend
  ) throws -> [Float]? {
    let weights = largestWeights(problems)
    if let alpha = options.smoothing {
      return factors(statistics.absoluteMaximum, weights, Float(alpha))
    }
    var best: (loss: Double, factors: [Float])?
    for step in 0...11 {
      let candidate = factors(statistics.absoluteMaximum, weights, 0.4 + 0.05 * Float(step))
      let found = try loss(problems, candidate, statistics, backend)
      if found < best?.loss ?? .infinity { best = (found, candidate) }
    }
    return best?.factors
  }

  static func factors(_ activations: [Float], _ weights: [Float], _ alpha: Float) -> [Float] {
    zip(activations, weights).map { activation, weight in
      // A channel that was never anything but zero cannot be smoothed.
      guard activation > 0 else { return 1 }
      return Swift.max(powf(activation, alpha) / powf(Swift.max(weight, 1e-5), 1 - alpha), 1e-5)
    }
  }

  static func largestWeights(_ problems: [LinearProblem]) -> [Float] {
    guard let first = problems.first else { return [] }
    var largest = [Float](repeating: 0, count: first.weight.columns)
    for problem in problems {
      for row in 0..<problem.weight.rows {
        for column in largest.indices {
          largest[column] = Swift.max(largest[column], problem.weight[row, column].magnitude)
        }
      }
    }
    return largest
  }

  /// What rounding weights loses, from the Gram matrix, and what rounding activations loses, taken as uniform noise
  /// of one step of the largest channel.
  private static func loss(
    _ problems: [LinearProblem], _ factors: [Float], _ statistics: ActivationStatistics,
    _ backend: CPUBackend
  ) throws -> Double {
    let scaled = statistics.dividing(by: factors)
    guard let gram = scaled.gram else { throw MethodError.needsCalibration(method: "smoothquant") }
    gram.mirrorUpper()
    let step = Double(scaled.absoluteMaximum.max() ?? 0) / 127
    var sum = 0.0
    for problem in problems {
      guard let bits = problem.scheme.bits else { continue }
      let weight = problem.weight.copy()
      weight.scaleColumns(by: factors)
      var norm = 0.0
      for row in 0..<weight.rows {
        for column in 0..<weight.columns { norm += Double(weight[row, column]) * Double(weight[row, column]) }
      }
      var rows = QuantizedRows(rows: weight.rows, columns: weight.columns, grid: problem.grid(bits: bits))
      let error = Matrix(rows: weight.rows, columns: weight.columns)
      backend.quantize(weight, into: &rows, values: error)
      error.subtract(weight)
      sum += try backend.quadraticForms(error, gram).reduce(0, +)
      sum += Double(statistics.tokens) * step * step / 12 * norm
    }
    return sum
  }
}
