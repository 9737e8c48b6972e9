import CPUBackend
import Compute
import Numerics
import TestSupport
import Testing

@Suite("Solvers of calibrated compression")
struct SolveTests {
  // MARK: Double-precision references

  /// Upper triangular `U` with `UᵀU = h⁻¹`, by Gauss-Jordan and a plain Cholesky.
  static func referenceFactor(_ h: [[Double]]) -> [[Double]] {
    let n = h.count
    var a = h
    var inverse = (0..<n).map { i in (0..<n).map { $0 == i ? 1.0 : 0.0 } }
    for pivot in 0..<n {
      let scale = a[pivot][pivot]
      for column in 0..<n {
        a[pivot][column] /= scale
        inverse[pivot][column] /= scale
      }
      for row in 0..<n where row != pivot {
        let factor = a[row][pivot]
        for column in 0..<n {
          a[row][column] -= factor * a[pivot][column]
          inverse[row][column] -= factor * inverse[pivot][column]
        }
      }
    }
    var u = (0..<n).map { _ in [Double](repeating: 0, count: n) }
    for i in 0..<n {
      for j in i..<n {
        var sum = inverse[i][j]
        for k in 0..<i { sum -= u[k][i] * u[k][j] }
        u[i][j] = i == j ? sum.squareRoot() : sum / u[i][i]
      }
    }
    return u
  }

  /// A Gram matrix of correlated inputs, damped.
  static func gram(_ n: Int, tokens: Int, _ bench: Workbench) throws -> (
    matrix: Matrix, reference: [[Double]], inputs: [Float]
  ) {
    var inputs = bench.random(tokens * n)
    // Neighbours share most of their value, as real activations do.
    for token in 0..<tokens {
      for k in 1..<n { inputs[token * n + k] = 0.7 * inputs[token * n + k - 1] + 0.3 * inputs[token * n + k] }
    }
    let matrix = Matrix(rows: n, columns: n)
    try bench.backend.accumulateGram(try bench.matrix(inputs, tokens, n), into: matrix)
    var reference = (0..<n).map { _ in [Double](repeating: 0, count: n) }
    for token in 0..<tokens {
      for i in 0..<n {
        let value = Double(inputs[token * n + i])
        for j in i..<n { reference[i][j] += value * Double(inputs[token * n + j]) }
      }
    }
    var mean = 0.0
    for i in 0..<n { mean += reference[i][i] / Double(n) }
    for i in 0..<n {
      matrix[i, i] += Float(0.01 * mean)
      reference[i][i] += 0.01 * mean
      for j in 0..<i { reference[i][j] = reference[j][i] }
    }
    return (matrix, reference, inputs)
  }

  @Test(arguments: [1, 2, 17, 64, 65, 150])
  func `the factor of the inverse is that of a double-precision loop`(_ n: Int) throws {
    let bench = Workbench(seed: UInt64(n))
    let (matrix, reference, _) = try Self.gram(Swift.max(n, 2), tokens: 3 * n + 8, bench)
    let expected = Self.referenceFactor(reference)
    #expect(try bench.backend.inverseFactor(matrix) == nil)
    let scale = expected.flatMap { $0 }.map(abs).max() ?? 1
    for i in 0..<matrix.rows {
      for j in 0..<matrix.rows { #expect(abs(Double(matrix[i, j]) - expected[i][j]) <= 2e-4 * scale) }
    }
  }

  @Test func `a matrix that is not positive definite is named by its column`() throws {
    let backend = CPUBackend(threads: 1)
    let matrix = Matrix(rows: 70, columns: 70)
    for i in 0..<70 { matrix[i, i] = i == 3 ? 0 : 1 }
    #expect(try backend.inverseFactor(matrix) == 3)
    let poisoned = Matrix([.nan], rows: 1, columns: 1)
    #expect(try backend.inverseFactor(poisoned) == 0)
  }

  @Test(arguments: InstructionSet.allCases)
  func `every instruction set gives the same bits`(_ set: InstructionSet) throws {
    guard set.isAvailable else { return }
    func run(_ set: InstructionSet, threads: Int) throws -> ([Float], [UInt8], [Float]) {
      let bench = Workbench(seed: 9, threads: threads, instructionSet: set)
      let (matrix, _, _) = try Self.gram(70, tokens: 90, bench)
      #expect(try bench.backend.inverseFactor(matrix) == nil)
      let weight = Matrix(bench.random(37 * 70), rows: 37, columns: 70)
      var sweep = ColumnSweep(weight: weight, factor: matrix)
      sweep.blockSize = 30
      sweep.quantized = QuantizedRows(
        rows: 37, columns: 70,
        grid: Grid(.asymmetric, bits: 3, groupSize: 10, scaleType: .float16))
      try sweep.run(on: bench.backend)
      return (matrix.array, sweep.quantized?.codes ?? [], weight.array)
    }
    let expected = try run(.portable, threads: 1)
    let found = try run(set, threads: 2)
    #expect(found.0 == expected.0 && found.1 == expected.1 && found.2 == expected.2)
  }

  // MARK: Grids

  @Test(arguments: GridConvention.allCases, [2, 3, 4, 8])
  func `rounding stays within half a step, is idempotent, and keeps its scale's type`(
    _ convention: GridConvention, _ bits: Int
  ) throws {
    let bench = Workbench(seed: UInt64(bits))
    let weight = Matrix(bench.random(19 * 24), rows: 19, columns: 24)
    for column in 0..<24 { weight[4, column] = 0 }
    for type in [DataType.float32, .float16, .bfloat16] {
      var result = QuantizedRows(
        rows: 19, columns: 24, grid: Grid(convention, bits: bits, groupSize: 8, scaleType: type))
      let values = Matrix(rows: 19, columns: 24)
      bench.backend.quantize(weight, into: &result, values: values)
      var again = result
      bench.backend.quantize(values, into: &again, fitted: true)
      #expect(again.codes == result.codes)
      for row in 0..<19 {
        for column in 0..<24 {
          let place = row * 3 + column / 8
          let (scale, zero) = (result.scales[place], result.zeros[place])
          #expect(scale > 0)
          switch type {
          case .float16: #expect(Float(Float16(scale)) == scale)
          case .bfloat16: #expect(scale.bitPattern & 0xFFFF == 0)
          default: break
          }
          let code = Float(result.codes[row * 24 + column])
          #expect(values[row, column] == scale * (code - zero))
          // What lies outside the grid is cut off first.
          let lowest: Float = convention == .symmetricNarrow ? 1 : 0
          let reachable = Swift.min(
            Swift.max(weight[row, column], scale * (lowest - zero)),
            scale * (Float((1 << bits) - 1) - zero))
          #expect(abs(values[row, column] - reachable) <= scale * 0.5 * 1.0001)
          if convention == .symmetricNarrow { #expect(code >= 1) }
        }
      }
    }
  }

  @Test func `small scales are rounded as float16 rounds them`() throws {
    let backend = CPUBackend(threads: 1)
    for exponent in -30 ..< -10 {
      let value = Float(sign: .plus, exponent: exponent, significand: 1.2345)
      let weight = Matrix([value, -value / 3], rows: 1, columns: 2)
      var result = QuantizedRows(
        rows: 1, columns: 2, grid: Grid(.symmetricNarrow, bits: 2, groupSize: 2, scaleType: .float16))
      backend.quantize(weight, into: &result)
      #expect(result.scales[0] == Swift.max(Float(Float16(value)), 0x1p-24))
    }
  }

  // MARK: The sweep

  /// GPTQ in double precision, one column at a time, without blocks.
  static func referenceSweep(
    _ weight: [Float], rows: Int, columns: Int, _ u: [[Double]], bits: Int, group: Int
  ) -> (codes: [UInt8], loss: Double) {
    var w = weight.map(Double.init)
    var codes = [UInt8](repeating: 0, count: rows * columns)
    let top = Double((1 << bits) - 1)
    var loss = 0.0
    for row in 0..<rows {
      var (scale, zero) = (1.0, 0.0)
      for column in 0..<columns {
        if column % group == 0 {
          let range = row * columns + column..<row * columns + Swift.min(column + group, columns)
          let least = Swift.min(0, w[range].min() ?? 0)
          let greatest = Swift.max(0, w[range].max() ?? 0)
          scale = (greatest - least) / top
          zero = (-least / scale).rounded(.toNearestOrEven)
        }
        let place = row * columns + column
        let code = Swift.max(0, Swift.min(top, (w[place] / scale).rounded(.toNearestOrEven) + zero))
        codes[place] = UInt8(code)
        let error = (w[place] - scale * (code - zero)) / u[column][column]
        loss += error * error / 2
        for later in column + 1..<Swift.max(columns, column + 1) {
          w[row * columns + later] -= error * u[column][later]
        }
      }
    }
    return (codes, loss)
  }

  private static func sweep(
    _ values: [Float], rows: Int, factor: Matrix, bits: Int, group: Int, block: Int, _ bench: Workbench
  ) throws -> (codes: [UInt8], loss: Double, values: [Float]) {
    let weight = Matrix(values, rows: rows, columns: factor.rows)
    var sweep = ColumnSweep(weight: weight, factor: factor)
    sweep.blockSize = block
    sweep.quantized = QuantizedRows(
      rows: rows, columns: factor.rows,
      grid: Grid(.asymmetric, bits: bits, groupSize: group, scaleType: .float32))
    try sweep.run(on: bench.backend)
    return (sweep.quantized?.codes ?? [], sweep.loss.reduce(0, +), weight.array)
  }

  @Test(arguments: [(33, 48, 16), (16, 96, 96), (5, 40, 8)])
  func `codes are those of a double-precision column loop`(_ rows: Int, _ columns: Int, _ group: Int) throws {
    let bench = Workbench(seed: UInt64(rows))
    let (factor, reference, _) = try Self.gram(columns, tokens: 4 * columns, bench)
    let u = Self.referenceFactor(reference)
    #expect(try bench.backend.inverseFactor(factor) == nil)
    let values = bench.random(rows * columns)
    let expected = Self.referenceSweep(values, rows: rows, columns: columns, u, bits: 4, group: group)
    let found = try Self.sweep(
      values, rows: rows, factor: factor, bits: 4, group: group, block: 32, bench)
    // A weight half way between two codes may go either way in float32.
    let differing = zip(found.codes, expected.codes).filter { $0 != $1 }.count
    #expect(Double(differing) <= 0.002 * Double(rows * columns) + 1)
    #expect(abs(found.loss - expected.loss) <= 0.01 * expected.loss)
  }

  @Test func `half the sum of squared errors is half the loss of the outputs`() throws {
    let bench = Workbench(seed: 3)
    let (gram, reference, _) = try Self.gram(64, tokens: 200, bench)
    #expect(try bench.backend.inverseFactor(gram) == nil)
    let values = bench.random(24 * 64)
    let result = try Self.sweep(values, rows: 24, factor: gram, bits: 3, group: 32, block: 16, bench)
    var trace = 0.0
    for row in 0..<24 {
      for i in 0..<64 {
        let left = Double(values[row * 64 + i] - result.values[row * 64 + i])
        for j in 0..<64 {
          trace += left * reference[i][j] * Double(values[row * 64 + j] - result.values[row * 64 + j])
        }
      }
    }
    #expect(abs(result.loss - trace / 2) <= 1e-4 * result.loss)
  }

  @Test func `blocks change nothing but rounding`() throws {
    let bench = Workbench(seed: 4)
    let (factor, _, _) = try Self.gram(96, tokens: 300, bench)
    #expect(try bench.backend.inverseFactor(factor) == nil)
    let values = bench.random(40 * 96)
    let whole = try Self.sweep(values, rows: 40, factor: factor, bits: 4, group: 16, block: 96, bench)
    for block in [1, 16, 50, 128] {
      let found = try Self.sweep(values, rows: 40, factor: factor, bits: 4, group: 16, block: block, bench)
      let differing = zip(found.codes, whole.codes).filter { $0 != $1 }.count
      #expect(differing <= 8)
      #expect(abs(found.loss - whole.loss) <= 5e-3 * whole.loss)
    }
  }

  @Test func `with uncorrelated inputs the sweep is plain rounding, bit for bit`() throws {
    let bench = Workbench(seed: 5)
    let factor = Matrix(rows: 48, columns: 48)
    for i in 0..<48 { factor[i, i] = 2 }
    #expect(try bench.backend.inverseFactor(factor) == nil)
    let values = bench.random(21 * 48)
    for group in [48, 16] {
      let swept = try Self.sweep(values, rows: 21, factor: factor, bits: 4, group: group, block: 20, bench)
      var plain = QuantizedRows(
        rows: 21, columns: 48, grid: Grid(.asymmetric, bits: 4, groupSize: group, scaleType: .float32))
      let rounded = Matrix(rows: 21, columns: 48)
      bench.backend.quantize(Matrix(values, rows: 21, columns: 48), into: &plain, values: rounded)
      #expect(swept.codes == plain.codes)
      #expect(swept.values == rounded.array)
    }
  }

  // MARK: Pruning

  @Test(arguments: [(2, 4), (4, 8), (1, 2)])
  func `a pattern keeps exactly so many of each run`(_ keep: Int, _ of: Int) throws {
    let bench = Workbench(seed: 6)
    let (factor, _, _) = try Self.gram(64, tokens: 200, bench)
    #expect(try bench.backend.inverseFactor(factor) == nil)
    let weight = Matrix(bench.random(19 * 64), rows: 19, columns: 64)
    var sweep = ColumnSweep(weight: weight, factor: factor)
    sweep.pruning = .pattern(keep: keep, of: of)
    sweep.blockSize = 24
    try sweep.run(on: bench.backend)
    for row in 0..<19 {
      for start in stride(from: 0, to: 64, by: of) {
        let zeros = (start..<start + of).filter { weight[row, $0] == 0 }
        #expect(zeros.count == of - keep)
        for column in start..<start + of {
          #expect((sweep.mask[row * 64 + column] == 1) == (weight[row, column] == 0))
        }
      }
    }
  }

  @Test func `without correlation the sweep prunes by magnitude over each block`() throws {
    let bench = Workbench(seed: 7)
    let factor = Matrix(rows: 32, columns: 32)
    for i in 0..<32 { factor[i, i] = 1 }
    let values = bench.random(10 * 32)
    let weight = Matrix(values, rows: 10, columns: 32)
    var sweep = ColumnSweep(weight: weight, factor: factor)
    sweep.pruning = .unstructured(fraction: 0.5)
    sweep.blockSize = 32
    try sweep.run(on: bench.backend)
    let threshold = values.map(abs).sorted()[160]
    for (index, value) in values.enumerated() {
      #expect(weight.array[index] == (abs(value) < threshold ? 0 : value))
    }
  }

  @Test func `the smallest are chosen exactly, of equals the first`() {
    var generator = SeededGenerator(seed: 8)
    for size in [1, 7, 200] {
      let scores = (0..<size).map { _ in Float(Int.random(in: 0..<9, using: &generator)) * 0.25 }
      for count in [0, 1, size / 2, size] {
        let order = scores.indices.sorted { (scores[$0], $0) < (scores[$1], $1) }
        let expected = Set(order.prefix(count))
        #expect(smallest(count, of: scores) == scores.indices.map { expected.contains($0) })
      }
    }
  }

  @Test func `quadratic forms are those of a double-precision loop`() throws {
    let bench = Workbench(seed: 10)
    let rows = Matrix(bench.random(300 * 20), rows: 300, columns: 20)
    let (h, reference, _) = try Self.gram(20, tokens: 50, bench)
    h.mirrorUpper()
    let forms = try bench.backend.quadraticForms(rows, columns: 4..<17, h)
    for row in 0..<300 {
      var sum = 0.0
      for i in 4..<17 {
        for j in 4..<17 { sum += Double(rows[row, i]) * reference[i][j] * Double(rows[row, j]) }
      }
      #expect(abs(forms[row] - sum) <= 1e-4 * abs(sum) + 1e-4)
    }
  }
}
