import CPUBackend
import Glibc
import Numerics
import TestSupport
import Testing

/// Root mean square errors of 4-bit grids on normal rows, beside figures computed apart from this code.
@Suite struct GridErrorTests {
  @Test(arguments: [
    (GridConvention.symmetric, 32, 0.0949), (.symmetric, 128, 0.1109), (.asymmetric, 128, 0.1007),
  ])
  func `error on normal rows`(_ convention: GridConvention, _ group: Int, _ expected: Double) {
    var generator = SeededGenerator(seed: 21)
    let (rows, columns) = (400, 256)
    let values = (0..<rows * columns).map { _ in
      let radius = (-2 * log(Double.random(in: 1e-12..<1, using: &generator))).squareRoot()
      return Float(radius * cos(2 * Double.pi * Double.random(in: 0..<1, using: &generator)))
    }
    let weight = Matrix(values, rows: rows, columns: columns)
    var codes = QuantizedRows(
      rows: rows, columns: columns, grid: Grid(convention, bits: 4, groupSize: group, scaleType: .float32))
    let rounded = Matrix(rows: rows, columns: columns)
    CPUBackend(threads: 1).quantize(weight, into: &codes, values: rounded)
    let sum = zip(values, rounded.array).reduce(0.0) {
      $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1)
    }
    let found = (sum / Double(values.count)).squareRoot()
    #expect(abs(found / expected - 1) < 0.02, "\(found)")
  }
}
