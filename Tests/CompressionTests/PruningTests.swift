import CPUBackend
import Compression
import Checkpoints
import Compute
import Generation
import JSON
import Models
import Numerics
import TestSupport
import Testing

import Foundation

@Suite("Pruning")
struct PruningTests {
  private static func zeros(_ result: CompressedLinear, row: Int) -> Set<Int> {
    Set((0..<result.values.columns).filter { result.values[row, $0] == 0 })
  }

  @Test(arguments: ["magnitude", "wanda", "sparsegpt"], ["0.5", "2:4", "4:8", "0.25"])
  func `as many weights become zero as were asked for, and the store knows`(
    _ method: String, _ text: String
  ) throws {
    let sparsity = try #require(Sparsity(text))
    for bits in [nil, 4] {
      let problem = try Problem(
        rows: 24, columns: 64, seed: 1, bits: bits, groupSize: bits == nil ? nil : 32,
        convention: .asymmetric,
        sparsity: sparsity, scaleType: .bfloat16)
      let result = try problem.solve(method)
      #expect(try Problem.decode(result) == result.values.array)
      var count = 0
      for row in 0..<24 {
        let zeros = Self.zeros(result, row: row)
        count += zeros.count
        if case .pattern(let keep, let of) = sparsity {
          for start in stride(from: 0, to: 64, by: of) {
            let inRun = (start..<start + of).filter { zeros.contains($0) }.count
            // A kept weight may be rounded to zero.
            #expect(bits == nil ? inRun == of - keep : inRun >= of - keep)
          }
        } else if method == "wanda", bits == nil {
          #expect(zeros.count == Int(64 * sparsity.fraction))
        }
      }
      let wanted = Int(24 * 64 * sparsity.fraction)
      #expect(bits == nil ? count == wanted : count >= wanted)
    }
  }

  @Test(arguments: ["0.5", "2:4"])
  func `on correlated inputs SparseGPT beats Wanda and magnitude by far`(_ text: String) throws {
    let problem = try Problem(rows: 48, columns: 128, seed: 2, bits: nil, sparsity: Sparsity(text))
    let errors = try ["sparsegpt", "wanda", "magnitude"].map { try problem.outputError(problem.solve($0)) }
    #expect(errors[0] * 1.5 < errors[1])
    #expect(errors[0] * 1.5 < errors[2])
  }

  @Test func `with loud channels Wanda beats magnitude`() throws {
    let problem = try Problem(
      rows: 32, columns: 96, seed: 3, bits: nil, sparsity: .unstructured(0.5), loud: [7, 50, 61])
    let wanda = try problem.outputError(problem.solve("wanda"))
    #expect(wanda * 2 < (try problem.outputError(problem.solve("magnitude"))))
  }

  @Test func `with equal activation norms Wanda is magnitude in each row`() throws {
    let base = try Problem(rows: 20, columns: 16, seed: 4, bits: nil, sparsity: .unstructured(0.5))
    var statistics = ActivationStatistics(inputs: 16, gram: true)
    try statistics.add([Float](repeating: 0.5, count: 16), rows: 1, on: base.backend)
    let problem = LinearProblem(
      site: base.problem.site, scheme: base.problem.scheme, weight: base.problem.weight,
      statistics: statistics, scaleType: .float32)
    let result = try #require(
      try MethodRegistry.method(named: "wanda")?.solve(problem, Recipe.Options(), base.backend))
    for row in 0..<20 {
      let order = (0..<16).sorted { abs(problem.weight[row, $0]) < abs(problem.weight[row, $1]) }
      #expect(Self.zeros(result, row: row) == Set(order.prefix(8)))
    }
  }

  /// Nothing can be made up for by inputs that have nothing in common (T-SGPT).
  @Test(arguments: ["0.5", "2:4"])
  func `with a unit Gram matrix SparseGPT is magnitude`(_ text: String) throws {
    let base = try Problem(rows: 20, columns: 64, seed: 18, bits: nil, sparsity: Sparsity(text))
    var statistics = ActivationStatistics(inputs: 64, gram: true)
    let unit = (0..<64 * 64).map { $0 % 65 == 0 ? 1 : 0 as Float }
    try statistics.add(unit, rows: 64, on: base.backend)
    let problem = LinearProblem(
      site: base.problem.site, scheme: base.problem.scheme, weight: base.problem.weight,
      statistics: statistics, scaleType: .float32)
    let results = try ["sparsegpt", "magnitude"].map {
      try #require(try MethodRegistry.method(named: $0)?.solve(problem, Recipe.Options(), base.backend))
        .values
    }
    #expect(results[0].array == results[1].array)
  }

  @Test func `Wanda's mask does not see how a channel is scaled between weight and activation`() throws {
    let problem = try Problem(rows: 16, columns: 32, seed: 5, bits: nil, sparsity: .unstructured(0.5))
    let factors = (0..<32).map { [0.25, 1, 4, 2][$0 % 4] as Float }
    let scaled = problem.problem.weight.copy()
    scaled.scaleColumns(by: factors)
    let other = LinearProblem(
      site: problem.problem.site, scheme: problem.problem.scheme, weight: scaled,
      statistics: problem.problem.statistics?.dividing(by: factors), scaleType: .float32)
    let method = try #require(MethodRegistry.method(named: "wanda"))
    let left = try method.solve(problem.problem, Recipe.Options(), problem.backend)
    let right = try method.solve(other, Recipe.Options(), problem.backend)
    for row in 0..<16 { #expect(Self.zeros(left, row: row) == Self.zeros(right, row: row)) }
  }

  @Test(arguments: ["magnitude", "sparsegpt"])
  func `what is zero stays zero when more is pruned`(_ method: String) throws {
    let first = try Problem(rows: 16, columns: 64, seed: 6, bits: nil, sparsity: .unstructured(0.25))
    let pruned = try first.solve(method)
    let second = LinearProblem(
      site: first.problem.site,
      scheme: {
        var s = first.problem.scheme; s.sparsity = .unstructured(0.75); return s
      }(),
      weight: pruned.values, statistics: first.problem.statistics, scaleType: .float32)
    let result = try #require(
      try MethodRegistry.method(named: method)?.solve(second, Recipe.Options(), first.backend))
    for row in 0..<16 {
      #expect(Self.zeros(pruned, row: row).isSubset(of: Self.zeros(result, row: row)))
    }
  }

  /// Several blocks of columns, so that what was zero has moved before its block is reached.
  @Test(arguments: [("0.25", "0.5"), ("0.25", "2:4"), ("2:4", "0.75"), ("0.5", "4:8")])
  func `masks of a growing sparsity lie inside each other`(_ first: String, _ second: String) throws {
    let problem = try Problem(rows: 16, columns: 96, seed: 16, bits: nil, sparsity: Sparsity(first))
    let pruned = try problem.solve("sparsegpt") { $0.blockSize = 32 }
    var scheme = problem.problem.scheme
    scheme.sparsity = Sparsity(second)
    let next = LinearProblem(
      site: problem.problem.site, scheme: scheme, weight: pruned.values,
      statistics: problem.problem.statistics, scaleType: .float32)
    var options = Recipe.Options()
    options.blockSize = 32
    let result = try #require(
      try MethodRegistry.method(named: "sparsegpt")?.solve(next, options, problem.backend))
    var grown = 0
    for row in 0..<16 {
      let (before, after) = (Self.zeros(pruned, row: row), Self.zeros(result, row: row))
      #expect(before.isSubset(of: after))
      grown += after.count - before.count
    }
    #expect(grown > 0)
  }

  @Test(arguments: ["magnitude", "sparsegpt"])
  func `pruned weights are stored without their zeros`(_ method: String) throws {
    for (text, bits, form) in [
      ("2:4", nil, "2:4 bfloat16"), ("0.5", nil, "sparse bfloat16"), ("2:4", 4, "2:4 int4"),
    ]
      as [(String, Int?, String)]
    {
      let problem = try Problem(
        rows: 16, columns: 128, seed: 17, bits: bits, groupSize: 64, sparsity: Sparsity(text),
        scaleType: .bfloat16)
      let result = try problem.solve(method)
      #expect(result.store.summary.hasPrefix(form))
      try result.store.validateValues()
      let wanted = bits == nil ? 9 + (text == "2:4" ? 0 : 64.0 / 128) : 3 + 16.0 / 64
      #expect(abs(result.store.averageBits - wanted) < 0.01 * wanted)
    }
    // A bit for each of ten weights costs more than one weight in sixteen gives back.
    let little = try Problem(
      rows: 16, columns: 128, seed: 17, bits: nil, sparsity: .unstructured(0.03), scaleType: .bfloat16)
    #expect(try little.solve(method).store.summary == "bfloat16")
  }

  @Test func `nothing is pruned at a sparsity of zero`() throws {
    for method in ["magnitude", "wanda", "sparsegpt"] {
      let problem = try Problem(rows: 8, columns: 32, seed: 7, bits: nil, sparsity: .unstructured(0))
      #expect(try problem.solve(method).values.array == problem.problem.weight.array)
    }
  }

  @Test func `half of the weights in 4 bits lose less than all of them in 2`() throws {
    let sparse = try Problem(rows: 48, columns: 128, seed: 8, bits: 4, sparsity: .unstructured(0.5))
    let small = try Problem(rows: 48, columns: 128, seed: 8, bits: 2)
    #expect(
      try sparse.outputError(sparse.solve("sparsegpt")) < small.outputError(small.solve("gptq")))
  }

  @Test func `what a method lacks is said`() throws {
    let none = try Problem(rows: 4, columns: 8, seed: 9, bits: nil)
    #expect(throws: MethodError.needsSparsity(method: "wanda")) { _ = try none.solve("wanda") }
    let odd = try Problem(rows: 4, columns: 10, seed: 9, bits: nil, sparsity: .pattern(keep: 2, of: 4))
    #expect(throws: MethodError.self) { _ = try odd.solve("magnitude") }
  }
}
