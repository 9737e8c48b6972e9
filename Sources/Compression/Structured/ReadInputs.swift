internal import CPUBackend

/// A linear layer with what calibration saw of its inputs: what each of them contributes, and what the layer is without
/// some of them.
struct ReadInputs {
  let matrix: Matrix
  let statistics: ActivationStatistics

  /// The size of what each input adds to the outputs, over all tokens: `‖W[:, j]‖ · ‖x_j‖`.
  var contributions: [Double] {
    (0..<matrix.columns).map { column in
      var norm = 0.0
      for row in 0..<matrix.rows { norm += Double(matrix[row, column]) * Double(matrix[row, column]) }
      return (norm * statistics.sumSquares[column]).squareRoot()
    }
  }

  /// The same as parts of the layer's whole, so that layers compare.
  var shares: [Double] { Self.shares(contributions) }

  static func shares(_ contributions: [Double]) -> [Double] {
    let total = contributions.reduce(0) { $0 + $1 * $1 }.squareRoot()
    return contributions.map { $0 / Swift.max(total, .leastNormalMagnitude) }
  }

  /// The layer on the inputs `kept` alone, which stand in for the others by least squares over the calibration tokens:
  /// `W · H[:, kept] · H[kept, kept]⁻¹`. Plain selection where nothing was measured or the Gram matrix cannot be
  /// inverted.
  func compensated(_ kept: [Int], on backend: CPUBackend) throws -> Matrix {
    guard let gram = statistics.gram?.copy() else { return matrix.selectingColumns(kept) }
    gram.mirrorUpper()
    var mean = 0.0
    for column in 0..<gram.columns { mean += Double(gram[column, column]) / Double(gram.columns) }
    for column in 0..<gram.columns { gram[column, column] += Float(0.01 * mean) }
    let factor = gram.selecting(kept)
    guard mean > 0, try backend.inverseFactor(factor) == nil else { return matrix.selectingColumns(kept) }
    // H⁻¹ = UᵀU.
    let seen = try backend.product(matrix, gram.selectingColumns(kept))
    return try backend.product(backend.product(seen, factor.transposed()), factor)
  }
}
