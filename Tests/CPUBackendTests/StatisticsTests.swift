import CPUBackend
import Compute
import Numerics
import TestSupport
import Testing

@Suite("What calibration measures")
struct StatisticsTests {
  @Test(arguments: [(1, 1), (5, 3), (16, 40), (49, 300), (130, 517)])
  func `a Gram matrix is the sum of outer products`(_ n: Int, _ tokens: Int) throws {
    let bench = Workbench(seed: UInt64(n))
    let values = bench.random(tokens * n)
    let gram = Matrix(rows: n, columns: n)
    try bench.backend.accumulateGram(try bench.matrix(values, tokens, n, stride: n + 3), into: gram)
    gram.mirrorUpper()
    for i in 0..<n {
      for j in 0..<n {
        var sum = 0.0
        for t in 0..<tokens { sum += Double(values[t * n + i]) * Double(values[t * n + j]) }
        #expect(abs(Double(gram[i, j]) - sum) <= 1e-6 * Double(tokens) + 1e-6)
      }
    }
  }

  /// Inputs are rounded, products and sums are not: the same bits on every instruction set.
  @Test(arguments: [(1, 1), (5, 3), (16, 40), (49, 301), (130, 1030)])
  func `a Gram matrix of pairs is that of rounded inputs`(_ n: Int, _ tokens: Int) throws {
    let source = Workbench(seed: UInt64(n))
    let values = source.random(tokens * n)
    let rounded = values.map { Double(BFloat16($0).float) }
    var first: [Float]?
    for set in InstructionSet.available {
      let bench = Workbench(instructionSet: set, productType: .bfloat16)
      let gram = Matrix(rows: n, columns: n)
      try bench.backend.accumulateGram(try bench.matrix(values, tokens, n, stride: n + 3), into: gram)
      gram.mirrorUpper()
      if let first {
        #expect(gram.array == first, "\(set)")
        continue
      }
      first = gram.array
      for i in 0..<n {
        for j in 0..<n {
          var sum = 0.0
          for t in 0..<tokens { sum += rounded[t * n + i] * rounded[t * n + j] }
          #expect(abs(Double(gram[i, j]) - sum) <= 1e-6 * Double(tokens) + 1e-6)
        }
      }
    }
  }

  @Test(arguments: [(1, 1), (7, 16), (40, 67), (3, 130)])
  func `channels are measured alike on every instruction set`(_ tokens: Int, _ n: Int) throws {
    let source = Workbench(seed: UInt64(n))
    let values = source.random(2 * tokens * n)
    for set in InstructionSet.available {
      let bench = Workbench(instructionSet: set)
      var statistics = ActivationStatistics(inputs: n, gram: false)
      for half in 0..<2 {
        let part = Array(values[half * tokens * n..<(half + 1) * tokens * n])
        try statistics.add(try bench.matrix(part, tokens, n, stride: n + 3), on: bench.backend)
      }
      #expect(statistics.tokens == 2 * tokens)
      for channel in 0..<n {
        let column = stride(from: channel, to: values.count, by: n).map { values[$0] }
        #expect(statistics.sumSquares[channel] == column.reduce(0.0) { $0 + Double($1) * Double($1) })
        #expect(statistics.sumAbsolute[channel] == column.reduce(0.0) { $0 + Double(abs($1)) })
        #expect(statistics.absoluteMaximum[channel] == column.map(abs).max())
        #expect(statistics.minimum[channel] == column.min())
        #expect(statistics.maximum[channel] == column.max())
      }
    }
  }
}
