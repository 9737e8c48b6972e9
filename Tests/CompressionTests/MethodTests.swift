import CPUBackend
import Compression
import Compute
import Models
import Numerics
import Testing

@Suite("Compression methods on one layer")
struct MethodTests {
  @Test(arguments: [
    "rtn", "gptq", "awq", "smoothquant", "zeroquant", "zeroquant-v2", "owq", "spqr", "llm.int8",
  ])
  func `the store stands for the values that calibration goes on with`(_ name: String) throws {
    for type in [DataType.float32, .bfloat16, .float16] {
      let size = name == "spqr" ? 16 : 32
      let convention: GridConvention =
        switch name {
        case "awq": .asymmetric
        case "smoothquant", "llm.int8": .symmetricNarrow
        case "zeroquant": .symmetricFull
        default: .symmetric
        }
      let bits = ["smoothquant", "llm.int8", "zeroquant"].contains(name) ? 8 : 4
      let problem = try Problem(
        rows: 37, columns: 96, seed: 1, bits: bits, groupSize: size, convention: convention, scaleType: type)
      let result = try problem.solve(name) { $0.outlierColumns = 0.05 }
      let decoded = try Problem.decode(result)
      let scale = decoded.map(abs).max() ?? 1
      // The low-rank product is summed in another order.
      let tolerance: Float = result.correction == nil ? 0 : 1e-5 * scale
      for (found, expected) in zip(decoded, result.values.array) {
        #expect(abs(found - expected) <= tolerance)
      }
    }
  }

  @Test(arguments: Recipe.ActOrder.allCases, [nil, 32])
  func `GPTQ in any order beats rounding by far on correlated inputs`(
    _ order: Recipe.ActOrder, _ groupSize: Int?
  ) throws {
    let problem = try Problem(rows: 48, columns: 128, seed: 2, groupSize: groupSize)
    let result = try problem.solve("gptq") { $0.actOrder = order }
    let rounded = try problem.solve("rtn")
    #expect(try problem.outputError(result) * 2.5 < problem.outputError(rounded))
    #expect(try Problem.decode(result) == result.values.array)
    guard case .integer(let weight) = result.store else {
      Issue.record("not an integer store")
      return
    }
    // Only the group order needs an index at run time.
    if case .grouped = weight.order {
      #expect(order == .group && groupSize != nil)
      try weight.validateValues()
    } else {
      #expect(order != .group || groupSize == nil)
    }
  }

  @Test func `static activations take their scale from the calibration`() throws {
    let rtn = try #require(MethodRegistry.method(named: "rtn"))
    func activations(dead: [Int] = [], measured: Bool = true) throws -> IntegerActivations? {
      let given = try Problem(
        rows: 8, columns: 32, seed: 9, bits: 8, convention: .symmetricNarrow, dead: dead)
      var scheme = given.problem.scheme
      scheme.activations = .tensor
      let problem = LinearProblem(
        site: given.problem.site, scheme: scheme, weight: given.problem.weight,
        statistics: measured ? given.problem.statistics : nil, scaleType: .float32)
      let solved = try rtn.solve(problem, rtn.defaults.options, given.backend)
      guard case .integer(let weight) = solved.store else { return nil }
      let largest = given.problem.statistics?.absoluteMaximum.max() ?? 0
      #expect(weight.activations == .tensor(scale: dead.isEmpty ? largest / 127 : 1, zero: 0))
      return weight.activations
    }
    #expect(try activations() != nil)
    // Inputs that never were anything but zero: any scale is right, but none is refused by readers.
    #expect(try activations(dead: Array(0..<32)) != nil)
    #expect(throws: MethodError.needsCalibration(method: "--activations tensor")) {
      try activations(measured: false)
    }
    var recipe = Recipe(method: "rtn")
    recipe.scheme.activations = .tensor
    recipe.options.outlierThreshold = 6
    #expect(throws: MethodError.self) { try rtn.check(recipe, hasCalibration: true) }
  }

  @Test func `rounded activations are refused where no store can say so`() throws {
    for name in ["spqr", "magnitude"] {
      let method = try #require(MethodRegistry.method(named: name))
      var recipe = method.defaults
      if method.store == .sparse { recipe.scheme.sparsity = .unstructured(0.5) }
      try method.check(recipe, hasCalibration: true)
      recipe.scheme.activations = .token
      #expect(throws: MethodError.self) { try method.check(recipe, hasCalibration: true) }
    }
    let pruned = try #require(MethodRegistry.method(named: "sparsegpt"))
    var recipe = pruned.defaults
    recipe.scheme.sparsity = .unstructured(0.5)
    recipe.scheme.bits = 8
    recipe.scheme.activations = .token
    try pruned.check(recipe, hasCalibration: true)
  }

  @Test func `static groups are those of one group where there is but one`() throws {
    let problem = try Problem(rows: 20, columns: 64, seed: 3)
    let fitted = try problem.solve("gptq") { $0.actOrder = .none }
    let fixed = try problem.solve("gptq") {
      $0.actOrder = .none
      $0.staticGroups = true
    }
    #expect(fitted.values.array == fixed.values.array)
  }

  @Test func `damping without bound is rounding to nearest`() throws {
    let problem = try Problem(rows: 20, columns: 64, seed: 4, groupSize: 16)
    let damped = try problem.solve("gptq") {
      $0.actOrder = .none
      $0.damping = 1e9
    }
    #expect(try Problem.decode(damped) == Problem.decode(problem.solve("rtn")))
  }

  @Test func `a Gram matrix of too few tokens is damped more, and the note says so`() throws {
    let problem = try Problem(rows: 16, columns: 64, tokens: 3, seed: 5)
    let result = try problem.solve("gptq") { $0.damping = 0 }
    #expect(result.notes.contains { $0.contains("damping") })
    #expect(result.values.isFinite)
  }

  /// A matrix that no damping mends, which sums of outer products never are.
  @Test(arguments: ["gptq", "owq", "spqr"])
  func `without a factor of the Gram matrix weights are rounded to nearest, and the note says so`(
    _ method: String
  ) throws {
    let convention = method == "spqr" ? GridConvention.realZero : .symmetric
    let problem = try Problem(rows: 16, columns: 64, seed: 5, groupSize: 16, convention: convention)
    let gram = try #require(problem.problem.statistics?.gram)
    gram[0, 1] = gram[0, 0] * 1e6
    let result = try problem.solve(method)
    #expect(result.notes.contains { $0.hasSuffix("rounded to nearest instead") })
    let decoded = try Problem.decode(result)
    #expect(decoded == result.values.array)
    let rounded = try problem.solve("rtn")
    if method == "spqr" {
      // In groups whose statistics are rounded too, with some weights kept.
      let error = try problem.outputError(result)
      #expect(result.values.isFinite && error.isFinite)
    } else {
      #expect(result.values.array == rounded.values.array)
    }
  }

  @Test func `what a method cannot do is refused before it is begun`() throws {
    func refused(_ name: String, _ change: (inout Recipe) -> Void) throws -> String {
      let method = try #require(MethodRegistry.method(named: name))
      var recipe = method.defaults
      change(&recipe)
      do {
        try method.check(recipe, hasCalibration: true)
        return "accepted"
      } catch { return "\(error)" }
    }
    #expect(try refused("rtn") { $0.scheme.sparsity = .unstructured(0.5) }.contains("prunes nothing"))
    #expect(try refused("gptq") { $0.options.errorBudget = 0.1 }.contains("prunes nothing"))
    #expect(try refused("awq") { $0.scheme.bits = nil }.contains("--bits"))
    #expect(try refused("wanda") { _ in }.contains("--sparsity"))
    #expect(try refused("spqr") { $0.scheme.groupSize = 128 }.contains("at most 64 inputs, not 128"))
    #expect(try refused("spqr") { $0.scheme.groupSize = nil }.contains("whole rows"))
    for method in MethodRegistry.methods where method.store != .sparse {
      try method.check(method.defaults, hasCalibration: true)
    }
  }

  @Test func `weights of inputs that were never used become zero`() throws {
    let problem = try Problem(rows: 16, columns: 32, seed: 6, dead: [3, 17])
    let result = try problem.solve("gptq")
    for row in 0..<16 { #expect(result.values[row, 3] == 0 && result.values[row, 17] == 0) }
    #expect(result.notes.contains { $0.hasPrefix("2 inputs") })
  }

  @Test func `a damaged statistic is refused by the module's name`() throws {
    let backend = CPUBackend(threads: 1)
    var statistics = ActivationStatistics(inputs: 2, gram: true)
    try statistics.add([.nan, 1], rows: 1, on: backend)
    let base = try Problem(rows: 1, columns: 2, seed: 1).problem
    let problem = LinearProblem(
      site: base.site, scheme: base.scheme, weight: base.weight, statistics: statistics, scaleType: .float32)
    #expect(throws: MethodError.notFinite(module: "test", what: "the calibration statistics")) {
      _ = try MethodRegistry.method(named: "gptq")?.solve(problem, Recipe.Options(), backend)
    }
  }

  // MARK: OWQ

  @Test func `OWQ without outliers is GPTQ, with nothing but outliers the original`() throws {
    let problem = try Problem(rows: 24, columns: 64, seed: 7)
    let none = try problem.solve("owq") {
      $0.outlierColumns = 0
      $0.actOrder = .none
    }
    #expect(none.values.array == (try problem.solve("gptq") { $0.actOrder = .none }).values.array)
    let all = try problem.solve("owq") { $0.outlierColumns = 1 }
    #expect(all.values.array == problem.problem.weight.array)
  }

  @Test func `OWQ keeps the loud channels, and more of them cost less`() throws {
    let loud = [5, 23, 40]
    let problem = try Problem(rows: 32, columns: 96, seed: 8, bits: 3, loud: loud)
    let result = try problem.solve("owq") { $0.outlierColumns = 3.0 / 96 }
    guard case .integer(let weight) = result.store, let outliers = weight.outliers else {
      Issue.record("no outlier columns")
      return
    }
    #expect(outliers.indices.integers == loud)
    var last = Double.infinity
    for count in [0, 3, 12, 48] {
      let error = try problem.outputError(
        problem.solve("owq") { $0.outlierColumns = Double(count) / 96 })
      #expect(error <= last * 1.01)
      last = error
    }
  }

  // MARK: SpQR

  @Test func `SpQR without outliers and second level is GPTQ with a real zero`() throws {
    let problem = try Problem(rows: 40, columns: 64, seed: 9, bits: 3, groupSize: 16, convention: .realZero)
    let reference = try problem.solve("gptq") { $0.actOrder = .none }
    let hessian = try #require(problem.problem.statistics?.gram).copy()
    hessian.scaleColumns(
      by: Array(repeating: 2 / Float(try #require(problem.problem.statistics).tokens), count: 64))
    var mean = 0.0
    for i in 0..<64 { mean += Double(hessian[i, i]) / 64 }
    for i in 0..<64 { hessian[i, i] += Float(0.01 * mean) }
    #expect(try problem.backend.inverseFactor(hessian) == nil)
    var sweep = SpQRSweep(
      weight: problem.problem.weight.copy(), factor: hessian,
      grid: Grid(.realZero, bits: 3, groupSize: 16, scaleType: .float32))
    sweep.statisticBits = 0
    try sweep.run(on: problem.backend)
    #expect(sweep.weight.array == reference.values.array)
    #expect(sweep.outliers.allSatisfy { $0 == 0 })
  }

  @Test func `SpQR that keeps everything is the original, and its bits are those of the formula`() throws {
    let problem = try Problem(rows: 32, columns: 64, seed: 10, bits: 3, groupSize: 16, convention: .realZero)
    let all = try problem.solve("spqr") { $0.outlierThreshold = 0 }
    for (found, expected) in zip(all.values.array, problem.problem.weight.array) {
      // A weight that the grid meets exactly is no outlier.
      #expect(abs(found - expected) <= 1e-6)
    }
    let half = try Problem(
      rows: 64, columns: 512, seed: 11, bits: 3, groupSize: 16, convention: .realZero, scaleType: .float16)
    let result = try half.solve("spqr")
    guard case .spqr(let weight) = result.store else {
      Issue.record("not SpQR")
      return
    }
    try weight.validateValues()
    let density = Double(weight.outliers.count) / Double(64 * 512)
    // 32 groups, so that their 3-bit codes fill whole words.
    // b + (3 + 3) / 16 + 2 · (16 + 16) / (16 · 16), and value and column of each outlier; here columns have 32 bits.
    let outlierBits = density * 48 + 32 * 65 / Double(64 * 512)
    let order = 512.0 * 32 / Double(64 * 512)
    let expected = 3 + 6.0 / 16 + 64.0 / 256 + outlierBits + (weight.order == nil ? 0 : order)
    #expect(abs(LinearWeight.Store.spqr(weight).averageBits - expected) <= 0.01 * expected)
    #expect(density > 0 && density < 0.1)
  }

  @Test func `SpQR finds planted outliers, and beats GPTQ of as many bits`() throws {
    let problem = try Problem(rows: 32, columns: 96, seed: 12, bits: 3, groupSize: 16, convention: .realZero)
    let planted = [(3, 7), (11, 50), (30, 95), (17, 16)]
    for (row, column) in planted { problem.problem.weight[row, column] = 3 }
    let result = try problem.solve("spqr")
    for (row, column) in planted { #expect(abs(result.values[row, column] - 3) < 0.5) }
    let plain = try problem.solve("gptq")
    #expect(try problem.outputError(result) * 2 < problem.outputError(plain))
  }

  // MARK: Low rank

  @Test func `a low-rank correction is the best of its rank`() throws {
    let problem = try Problem(rows: 24, columns: 40, seed: 13, bits: 2)
    let rounded = try problem.solve("rtn")
    let error = problem.problem.weight.copy()
    error.subtract(rounded.values)
    // Squared singular values, by Jacobi rotations on E · Eᵀ in double precision.
    let singular = squaredSingularValues(error).sorted(by: >)
    var last = Double.infinity
    for rank in [0, 1, 4, 8, 24] {
      let result = try problem.solve("rtn") { $0.rank = rank }
      let rest = problem.problem.weight.copy()
      rest.subtract(result.values)
      let norm = rest.array.reduce(0.0) { $0 + Double($1) * Double($1) }
      let best = singular.dropFirst(rank).reduce(0, +)
      #expect(norm <= last)
      #expect(
        abs(norm.squareRoot() - Swift.max(best, 0).squareRoot()) <= 1e-4 * singular.reduce(0, +).squareRoot())
      last = norm
    }
  }

  private func squaredSingularValues(_ matrix: Matrix) -> [Double] {
    let n = matrix.rows
    var a = (0..<n).map { i in
      (0..<n).map { j in
        (0..<matrix.columns).reduce(0.0) { $0 + Double(matrix[i, $1]) * Double(matrix[j, $1]) }
      }
    }
    for _ in 0..<60 {
      for p in 0..<n {
        for q in p + 1..<Swift.max(n, p + 1) where abs(a[p][q]) > 1e-18 {
          let theta = (a[q][q] - a[p][p]) / (2 * a[p][q])
          let t = (theta < 0 ? -1.0 : 1.0) / (abs(theta) + (theta * theta + 1).squareRoot())
          let c = 1 / (t * t + 1).squareRoot()
          let s = t * c
          for k in 0..<n { (a[k][p], a[k][q]) = (c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]) }
          for k in 0..<n { (a[p][k], a[q][k]) = (c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]) }
        }
      }
    }
    return (0..<n).map { a[$0][$0] }
  }

  // MARK: Balancing

  @Test func `AWQ never loses to rounding, and wins with loud channels`() throws {
    for loud in [[], [4, 30]] {
      let problem = try Problem(
        rows: 32, columns: 64, seed: 14, groupSize: nil, convention: .asymmetric, loud: loud)
      let method = try #require(MethodRegistry.method(named: "awq"))
      let statistics = try #require(problem.problem.statistics)
      let factors = try method.balance?([problem.problem], statistics, Recipe.Options(), problem.backend)
      let plain = try problem.outputError(problem.solve("rtn"))
      guard let factors else {
        #expect(loud.isEmpty, "nothing beat the identity")
        continue
      }
      let scaled = problem.problem.weight.copy()
      scaled.scaleColumns(by: factors)
      let balanced = LinearProblem(
        site: problem.problem.site, scheme: problem.problem.scheme, weight: scaled,
        statistics: statistics.dividing(by: factors), scaleType: .float32)
      let result = try method.solve(balanced, Recipe.Options(), problem.backend)
      let found = try LayerCompressor.errors(balanced, result.values, problem.backend).output ?? .nan
      #expect(found <= plain)
      if !loud.isEmpty { #expect(found * 1.5 < plain) }
    }
  }

  @Test func `SmoothQuant's factors are a^α / w^(1−α)`() throws {
    let problem = try Problem(rows: 8, columns: 16, seed: 15, loud: [2], dead: [9])
    let method = try #require(MethodRegistry.method(named: "smoothquant"))
    let statistics = try #require(problem.problem.statistics)
    var options = Recipe.Options()
    options.smoothing = 0.75
    let factors = try #require(
      try method.balance?([problem.problem], statistics, options, problem.backend))
    for column in 0..<16 {
      let largest = (0..<8).map { Double(abs(problem.problem.weight[$0, column])) }.max() ?? 0
      let activation = Double(statistics.absoluteMaximum[column])
      let expected = activation == 0 ? 1 : power(activation, 0.75) / power(largest, 0.25)
      #expect(abs(Double(factors[column]) - expected) <= 1e-4 * expected)
    }
    options.smoothing = nil
    #expect(try method.balance?([problem.problem], statistics, options, problem.backend) != nil)
  }

  /// For quarters only: roots are exact enough.
  private func power(_ value: Double, _ exponent: Double) -> Double {
    let quarter = value.squareRoot().squareRoot()
    return (0..<Int(exponent * 4)).reduce(1.0) { product, _ in product * quarter }
  }

  @Test func `divided statistics are those of divided inputs`() throws {
    let backend = CPUBackend(threads: 1)
    let inputs: [Float] = [1, -2, 3, 4, 5, -6]
    var statistics = ActivationStatistics(inputs: 3, gram: true)
    try statistics.add(inputs, rows: 2, on: backend)
    let factors: [Float] = [2, 0.5, 4]
    let divided = statistics.dividing(by: factors)
    var expected = ActivationStatistics(inputs: 3, gram: true)
    let scaled = inputs.enumerated().map { $1 / factors[$0 % 3] }
    try expected.add(scaled, rows: 2, on: backend)
    #expect(divided.sumSquares == expected.sumSquares && divided.sumAbsolute == expected.sumAbsolute)
    #expect(divided.minimum == expected.minimum && divided.maximum == expected.maximum)
    #expect(divided.absoluteMaximum == expected.absoluteMaximum)
    // Only the upper triangles mean something.
    divided.gram?.mirrorUpper()
    expected.gram?.mirrorUpper()
    #expect(divided.gram?.array == expected.gram?.array)
    #expect(divided.tokens == 2)
  }
}
