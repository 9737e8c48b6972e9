internal import CCPUBackend
package import Compute
internal import Numerics

/// Dense linear algebra for calibrated compression, on this backend's threads.
extension CPUBackend {
  /// `gram += Σ_t x_t · x_tᵀ`, of which only the upper triangle is kept up. input: float32 `[T, K]`, rounded to bfloat16
  /// where that is the `productType`; sums are float32.
  package func accumulateGram(_ input: TensorView, into gram: Matrix) throws(KernelError) {
    let checks = OperandChecks("accumulateGram")
    try checks.matrix(input, "input", columns: gram.rows)
    precondition(gram.rows == gram.columns, "a Gram matrix is square")
    var arguments = unsafe gpi_gram_args(
      input: input.floats, stride: input.rowStride, rows: input.rows, columns: gram.rows,
      gram: gram.address(0, 0), pairs: productType == .bfloat16 ? 1 : 0)
    try checks.finish(unsafe gpi_gram(context, &arguments))
  }

  /// `target[:, from…] += factor · left · right[rows, from…]`, the rows of `right` being `rows`.
  package func multiply(
    _ left: Matrix, _ right: Matrix, rows: Range<Int>, columns: Range<Int>, factor: Float,
    into target: Matrix
  ) throws(KernelError) {
    precondition(left.columns == rows.count && rows.upperBound <= right.rows, "factors do not fit")
    precondition(
      left.rows == target.rows && columns.upperBound <= right.columns
        && columns.upperBound <= target.columns, "the product does not fit")
    var arguments = unsafe gpi_product_args(
      a: left.address(0, 0), a_row: left.columns, a_depth: 1,
      b: right.address(rows.lowerBound, columns.lowerBound), b_stride: right.columns,
      c: target.address(0, columns.lowerBound), c_stride: target.columns, rows: left.rows,
      columns: columns.count, depth: rows.count, factor: factor, upper: 0, pairs: 0)
    try OperandChecks("multiply").finish(unsafe gpi_product(context, &arguments))
  }

  /// `left · right`.
  package func product(_ left: Matrix, _ right: Matrix) throws(KernelError) -> Matrix {
    let target = Matrix(rows: left.rows, columns: right.columns)
    try multiply(
      left, right, rows: 0..<right.rows, columns: 0..<right.columns, factor: 1, into: target)
    return target
  }

  /// Replaces a symmetric matrix by the upper triangular `U` with `UᵀU = matrix⁻¹`. Only its upper triangle is
  /// read.
  ///
  /// - Returns: the column at which the matrix proved not to be positive definite, it then being destroyed; nil when
  ///   all went well.
  package func inverseFactor(_ matrix: Matrix) throws(KernelError) -> Int? {
    precondition(matrix.rows == matrix.columns, "only a square matrix has an inverse")
    var failed = 0
    let missing = unsafe gpi_inverse_factor(context, matrix.address(0, 0), matrix.rows, &failed)
    try OperandChecks("inverseFactor").finish(missing)
    return failed < 0 ? nil : failed
  }

  /// `d · h · dᵀ` of each row `d`, for a symmetric `h`.
  package func quadraticForms(_ rows: Matrix, _ h: Matrix) throws(KernelError) -> [Double] {
    precondition(h.rows == h.columns && rows.columns == h.rows, "the form does not fit")
    return try quadraticForms(rows, columns: 0..<rows.columns, h)
  }

  /// The same of a range of columns with the block of `h` on the diagonal there.
  package func quadraticForms(
    _ rows: Matrix, columns: Range<Int>, _ h: Matrix
  ) throws(KernelError) -> [Double] {
    precondition(columns.upperBound <= rows.columns && columns.upperBound <= h.rows, "outside the form")
    var forms = [Double](repeating: 0, count: rows.rows)
    let missing = unsafe forms.withUnsafeMutableBufferPointer { forms in
      guard let out = forms.baseAddress else { return 0 }
      return unsafe gpi_quadratic_rows(
        context, rows.address(0, columns.lowerBound), rows.columns,
        h.address(columns.lowerBound, columns.lowerBound), h.columns, rows.rows, columns.count, out)
    }
    try OperandChecks("quadraticForms").finish(missing)
    return forms
  }
}

/// Marks the `count` smallest of scores that are not negative; of equals the first.
package func smallest(_ count: Int, of scores: [Float]) -> [Bool] {
  var mask = [UInt8](repeating: 0, count: scores.count)
  unsafe scores.withUnsafeBufferPointer { scores in
    unsafe mask.withUnsafeMutableBufferPointer { mask in
      if let source = scores.baseAddress, let target = mask.baseAddress {
        unsafe gpi_select_smallest(source, scores.count, count, target)
      }
    }
  }
  return mask.map { $0 != 0 }
}
