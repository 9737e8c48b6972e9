/// Row-major float32 elements in memory of their own, for the solvers of calibrated compression.
@safe
package final class Matrix {
  package let rows: Int
  package let columns: Int
  private let base: UnsafeMutablePointer<Float>

  /// Zeros.
  package init(rows: Int, columns: Int) {
    precondition(rows >= 0 && columns >= 0, "a matrix of negative size")
    self.rows = rows
    self.columns = columns
    unsafe base = UnsafeMutableRawPointer.allocate(
      byteCount: Swift.max(rows * columns, 1) * MemoryLayout<Float>.stride, alignment: 64
    ).bindMemory(to: Float.self, capacity: Swift.max(rows * columns, 1))
    unsafe base.initialize(repeating: 0, count: rows * columns)
  }

  package convenience init(_ elements: [Float], rows: Int, columns: Int) {
    precondition(elements.count == rows * columns, "\(elements.count) elements are not \(rows) × \(columns)")
    self.init(rows: rows, columns: columns)
    unsafe elements.withUnsafeBufferPointer { source in
      if let address = source.baseAddress { unsafe base.update(from: address, count: source.count) }
    }
  }

  deinit { unsafe base.deallocate() }

  package subscript(row: Int, column: Int) -> Float {
    get {
      precondition(row >= 0 && row < rows && column >= 0 && column < columns, "outside the matrix")
      return unsafe base[row * columns + column]
    }
    set {
      precondition(row >= 0 && row < rows && column >= 0 && column < columns, "outside the matrix")
      unsafe base[row * columns + column] = newValue
    }
  }

  /// Valid while this object lives.
  @unsafe package var elements: UnsafeMutableBufferPointer<Float> {
    unsafe UnsafeMutableBufferPointer(start: base, count: rows * columns)
  }

  /// Address of element `(row, column)`; either may be one past the end.
  @unsafe package func address(_ row: Int, _ column: Int) -> UnsafeMutablePointer<Float> {
    unsafe base + row * columns + column
  }

  package func copy() -> Matrix {
    let copy = Matrix(rows: rows, columns: columns)
    unsafe copy.base.update(from: base, count: rows * columns)
    return copy
  }

  package var array: [Float] { unsafe Array(elements) }

  /// The matrix whose column `j` is this one's column `order[j]`.
  package func selectingColumns(_ order: [Int]) -> Matrix {
    let result = Matrix(rows: rows, columns: order.count)
    for row in 0..<rows {
      let source = unsafe address(row, 0)
      let target = unsafe result.address(row, 0)
      for (place, column) in order.enumerated() { unsafe target[place] = source[column] }
    }
    return result
  }

  /// The symmetric matrix with rows and columns in this order.
  package func selecting(_ order: [Int]) -> Matrix {
    let result = Matrix(rows: order.count, columns: order.count)
    for (place, row) in order.enumerated() {
      let source = unsafe address(row, 0)
      let target = unsafe result.address(place, 0)
      for (position, column) in order.enumerated() { unsafe target[position] = source[column] }
    }
    return result
  }

  /// Multiplies column `j` by `factors[j]`.
  package func scaleColumns(by factors: [Float]) {
    precondition(factors.count == columns, "one factor a column")
    for row in 0..<rows {
      let target = unsafe address(row, 0)
      for column in 0..<columns { unsafe target[column] *= factors[column] }
    }
  }

  /// `self −= other`.
  package func subtract(_ other: Matrix) {
    precondition(other.rows == rows && other.columns == columns, "matrices of different sizes")
    let count = rows * columns
    for index in 0..<count { unsafe base[index] -= other.base[index] }
  }

  /// Copies the upper triangle of a square matrix onto its lower one.
  package func mirrorUpper() {
    precondition(rows == columns, "only a square matrix is symmetric")
    let tile = 32
    for start in stride(from: 0, to: rows, by: tile) {
      for left in stride(from: 0, through: start, by: tile) {
        for row in start..<Swift.min(start + tile, rows) {
          for column in left..<Swift.min(left + tile, row) {
            unsafe base[row * columns + column] = base[column * columns + row]
          }
        }
      }
    }
  }
}

extension Matrix {
  package func transposed() -> Matrix {
    let result = Matrix(rows: columns, columns: rows)
    let tile = 32
    for start in stride(from: 0, to: rows, by: tile) {
      for left in stride(from: 0, to: columns, by: tile) {
        for row in start..<Swift.min(start + tile, rows) {
          for column in left..<Swift.min(left + tile, columns) {
            unsafe result.address(column, 0)[row] = address(row, 0)[column]
          }
        }
      }
    }
    return result
  }
}
