package import CPUBackend
internal import Compute
internal import Numerics

/// The best low-rank correction of what quantisation lost (LoRC): `W − Ŵ ≈ B · A`, the singular values shared out
/// between both factors.
package enum LowRank {
  static func correct(
    _ result: inout CompressedLinear, _ problem: LinearProblem, rank: Int, _ backend: CPUBackend
  ) throws {
    let error = problem.weight.copy()
    error.subtract(result.values)
    let (b, a) = try factors(error, rank: rank, backend)
    a.round(to: problem.scaleType)
    b.round(to: problem.scaleType)
    result.correction = LowRankCorrection(
      a: a.tensor(problem.scaleType), b: b.tensor(problem.scaleType))
    let values = result.values.copy()
    try backend.multiply(b, a, rows: 0..<a.rows, columns: 0..<a.columns, factor: 1, into: values)
    result.values = values
  }

  /// `B` `[rows, rank]` and `A` `[rank, columns]` whose product is nearest to `matrix`.
  ///
  /// Subspace iteration from seeded random vectors (Halko, Martinsson, Tropp 2011), then an exact decomposition in the
  /// subspace.
  package static func factors(
    _ matrix: Matrix, rank: Int, _ backend: CPUBackend
  ) throws -> (b: Matrix, a: Matrix) {
    let limit = Swift.min(matrix.rows, matrix.columns)
    let rank = Swift.min(rank, limit)
    let width = Swift.min(limit, Swift.max(2 * rank, rank + 8))
    let transposed = matrix.transposed()
    var generator = SplitMix(state: 0x5EED)
    let start = Matrix(rows: matrix.columns, columns: width)
    for row in 0..<start.rows { for column in 0..<width { start[row, column] = generator.nextSigned() } }
    var basis = try backend.product(matrix, start)
    orthonormalise(basis)
    for _ in 0..<(width == limit ? 1 : iterations) {
      let back = try backend.product(transposed, basis)
      orthonormalise(back)
      basis = try backend.product(matrix, back)
      orthonormalise(basis)
    }
    // matrix ≈ Q · P with P = Qᵀ · matrix, and P · Pᵀ = V Λ Vᵀ gives the singular vectors in the subspace.
    let projected = try backend.product(basis.transposed(), matrix)
    let (values, vectors) = eigen(try backend.product(projected, projected.transposed()))
    let chosen = values.indices.sorted { values[$0] > values[$1] }.prefix(rank)
    let left = Matrix(rows: matrix.rows, columns: rank)
    let right = Matrix(rows: rank, columns: matrix.columns)
    for (place, index) in chosen.enumerated() {
      let singular = Swift.max(values[index], 0).squareRoot()
      guard singular > 0 else { continue }
      let shared = singular.squareRoot()
      for row in 0..<matrix.rows {
        var sum = 0.0
        for k in 0..<width { sum += Double(basis[row, k]) * vectors[k * width + index] }
        left[row, place] = Float(sum * shared)
      }
      for column in 0..<matrix.columns {
        var sum = 0.0
        for k in 0..<width { sum += vectors[k * width + index] * Double(projected[k, column]) }
        right[place, column] = Float(sum / singular * shared)
      }
    }
    return (left, right)
  }

  private static let iterations = 8

  /// Columns made orthonormal, twice for accuracy; one that vanishes becomes zero.
  private static func orthonormalise(_ matrix: Matrix) {
    for _ in 0..<2 {
      for column in 0..<matrix.columns {
        for earlier in 0..<column {
          var dot = 0.0
          for row in 0..<matrix.rows { dot += Double(matrix[row, earlier]) * Double(matrix[row, column]) }
          for row in 0..<matrix.rows { matrix[row, column] -= Float(dot) * matrix[row, earlier] }
        }
        var norm = 0.0
        for row in 0..<matrix.rows { norm += Double(matrix[row, column]) * Double(matrix[row, column]) }
        let factor = norm > 1e-30 ? 1 / norm.squareRoot() : 0
        for row in 0..<matrix.rows { matrix[row, column] *= Float(factor) }
      }
    }
  }

  /// Eigenvalues and the columns of eigenvectors of a small symmetric matrix, by Jacobi rotations in double precision.
  private static func eigen(_ matrix: Matrix) -> (values: [Double], vectors: [Double]) {
    let n = matrix.rows
    var a = matrix.array.map(Double.init)
    var vectors = (0..<n * n).map { $0 / n == $0 % n ? 1.0 : 0.0 }
    for _ in 0..<50 {
      var rest = 0.0
      for i in 0..<n { for j in 0..<n where i != j { rest += a[i * n + j] * a[i * n + j] } }
      var diagonal = 0.0
      for i in 0..<n { diagonal += a[i * n + i] * a[i * n + i] }
      if rest <= 1e-26 * diagonal { break }
      for p in 0..<n {
        for q in p + 1..<Swift.max(n, p + 1) where a[p * n + q] != 0 {
          let theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q])
          let t = (theta < 0 ? -1 : 1) / (theta.magnitude + (theta * theta + 1).squareRoot())
          let c = 1 / (t * t + 1).squareRoot()
          let s = t * c
          for k in 0..<n {
            let (x, y) = (a[k * n + p], a[k * n + q])
            (a[k * n + p], a[k * n + q]) = (c * x - s * y, s * x + c * y)
          }
          for k in 0..<n {
            let (x, y) = (a[p * n + k], a[q * n + k])
            (a[p * n + k], a[q * n + k]) = (c * x - s * y, s * x + c * y)
            let (v, w) = (vectors[k * n + p], vectors[k * n + q])
            (vectors[k * n + p], vectors[k * n + q]) = (c * v - s * w, s * v + c * w)
          }
        }
      }
    }
    return ((0..<n).map { a[$0 * n + $0] }, vectors)
  }

  /// SplitMix64 (Steele, Lea, Flood 2014): the same start everywhere.
  private struct SplitMix {
    var state: UInt64

    mutating func nextSigned() -> Float {
      state &+= 0x9E37_79B9_7F4A_7C15
      var value = state
      value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
      value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
      value ^= value >> 31
      return Float(Int64(bitPattern: value) >> 40) * 0x1p-23
    }
  }
}
