internal import CPUBackend
internal import Compute
internal import Models
internal import Numerics

extension CompressionMethod {
  /// The smallest weights of the whole matrix (or of each run) become zero.
  static let magnitude = CompressionMethod(
    name: "magnitude", summary: "prune the smallest weights, no calibration", need: .nothing,
    store: .sparse, defaults: { $0.scheme.bits = nil }
  ) { problem, options, backend in
    let sparsity = try Pruning.sparsity(problem, "magnitude")
    let scores = problem.weight.array.map(\.magnitude)
    let mask = Pruning.mask(
      scores, rows: problem.weight.rows, columns: problem.weight.columns, sparsity, byRow: false)
    return try Pruning.apply(mask, problem, options, backend)
  }

  /// Wanda (arXiv 2306.11695): the smallest `|w| · ‖x‖₂` of each output become zero; nothing else changes.
  static let wanda = CompressionMethod(
    name: "wanda", summary: "prune by weight times activation norm", need: .channels,
    store: .sparse, defaults: { $0.scheme.bits = nil }
  ) { problem, options, backend in
    let sparsity = try Pruning.sparsity(problem, "wanda")
    guard let statistics = problem.statistics else { throw MethodError.needsCalibration(method: "wanda") }
    let norms = statistics.sumSquares.map { Float($0.squareRoot()) }
    let columns = problem.weight.columns
    let scores = problem.weight.array.enumerated().map { $1.magnitude * norms[$0 % columns] }
    let mask = Pruning.mask(scores, rows: problem.weight.rows, columns: columns, sparsity, byRow: true)
    return try Pruning.apply(mask, problem, options, backend)
  }

  /// SparseGPT (arXiv 2301.00774): weights are pruned column by column, those behind make up for them; with bits, what
  /// stays is quantised in the same sweep.
  static let sparseGPT = CompressionMethod(
    name: "sparsegpt", summary: "prune with error compensation by second-order statistics", need: .gram,
    store: .sparse, defaults: { $0.scheme.bits = nil }
  ) { problem, options, backend in
    try Pruning.sparseGPT(problem, options, backend)
  }
}

enum Pruning {
  static func sparsity(_ problem: LinearProblem, _ method: String) throws -> Sparsity {
    guard let sparsity = problem.scheme.sparsity else { throw MethodError.needsSparsity(method: method) }
    if case .pattern(_, let of) = sparsity, problem.weight.columns % of != 0 {
      throw MethodError.unsupported(
        method: method,
        reason: "runs of \(of) do not divide the \(problem.weight.columns) inputs of \(problem.site.module)")
    }
    return sparsity
  }

  /// 1 where a weight goes: the lowest scores of each row, of the whole matrix, or of each run; of equals the first.
  static func mask(
    _ scores: [Float], rows: Int, columns: Int, _ sparsity: Sparsity, byRow: Bool
  ) -> [UInt8] {
    switch sparsity {
    case .unstructured(let fraction):
      guard byRow else {
        return smallest(Int(Double(rows * columns) * fraction), of: scores).map { $0 ? 1 : 0 }
      }
      let count = Int(Double(columns) * fraction)
      return (0..<rows).flatMap { row in
        smallest(count, of: Array(scores[row * columns..<(row + 1) * columns])).map { $0 ? UInt8(1) : 0 }
      }
    case .pattern(let keep, let of):
      var mask = [UInt8](repeating: 0, count: scores.count)
      for start in stride(from: 0, to: scores.count, by: of) {
        let order = (start..<start + of).sorted { (scores[$0], $0) < (scores[$1], $1) }
        for place in order.prefix(of - keep) { mask[place] = 1 }
      }
      return mask
    }
  }

  /// Zeros where the mask says; with bits GPTQ for the others, or rounding where there is no calibration.
  static func apply(
    _ mask: [UInt8], _ problem: LinearProblem, _ options: Recipe.Options, _ backend: CPUBackend
  ) throws -> CompressedLinear {
    let values = problem.weight.copy()
    let elements = unsafe values.elements
    for index in mask.indices where mask[index] != 0 { unsafe elements[index] = 0 }
    guard problem.scheme.bits != nil else { return try floats(values, problem) }
    if problem.statistics?.gram != nil {
      return try packed(GPTQ.solve(problem, options, backend, pruning: .given, mask: mask), problem)
    }
    let masked = LinearProblem(
      site: problem.site, scheme: problem.scheme, weight: values, statistics: problem.statistics,
      scaleType: problem.scaleType)
    return try packed(Rounding.solve(masked, options, backend, method: "pruning"), problem)
  }

  /// The pruned weight in the type it had, its zeros left out.
  static func floats(
    _ values: Matrix, _ problem: LinearProblem, notes: [String] = []
  ) throws -> CompressedLinear {
    values.round(to: problem.scaleType)
    return try packed(
      CompressedLinear(.dense(values.tensor(problem.scaleType)), values: values, notes: notes), problem)
  }

  /// The same values in a sparse store, where that is the smaller one.
  static func packed(_ result: CompressedLinear, _ problem: LinearProblem) throws -> CompressedLinear {
    guard let sparsity = problem.scheme.sparsity else { return result }
    var form = SparseWeight.Form.rows
    if case .pattern(keep: 2, of: 4) = sparsity { form = .twoOfFour }
    do throws(StoreError) {
      guard let sparse = try SparseWeight.packing(result.store, as: form) else { return result }
      guard sparse.byteCount < result.store.byteCount else { return result }
      var packed = result
      packed.store = .sparse(sparse)
      return packed
    } catch { throw MethodError.store(module: problem.site.module, error) }
  }

  static func sparseGPT(
    _ problem: LinearProblem, _ options: Recipe.Options, _ backend: CPUBackend
  ) throws -> CompressedLinear {
    let sparsity = try sparsity(problem, "sparsegpt")
    guard let statistics = problem.statistics else { throw MethodError.needsCalibration(method: "sparsegpt") }
    let hessian = try OptimalBrain.hessian(statistics, problem)
    let brain: OptimalBrain
    do {
      brain = try OptimalBrain(problem, hessian: hessian, order: nil, damping: options.damping, backend)
    } catch OptimalBrain.Failure.notPositiveDefinite(let tries) {
      let scores = problem.weight.array.map(\.magnitude)
      let mask = mask(
        scores, rows: problem.weight.rows, columns: problem.weight.columns, sparsity, byRow: false)
      var result = try apply(mask, problem, options, backend)
      result.notes.append(
        "the Gram matrix is not positive definite after \(tries) tries; pruned by magnitude instead")
      return result
    }
    var sweep = ColumnSweep(weight: brain.weight, factor: brain.factor)
    sweep.blockSize = options.blockSize
    switch sparsity {
    case .unstructured(let fraction): sweep.pruning = .unstructured(fraction: fraction)
    case .pattern(let keep, let of): sweep.pruning = .pattern(keep: keep, of: of)
    }
    // What an earlier, sparser step has pruned stays so (Prune and Tune, Syed, Guo and Sundarapandiyan 2023).
    sweep.mask = brain.weight.array.map { $0 == 0 ? 1 : 0 }
    if let bits = problem.scheme.bits {
      sweep.quantized = QuantizedRows(
        rows: problem.weight.rows, columns: problem.weight.columns, grid: problem.grid(bits: bits))
    }
    try sweep.run(on: backend)
    guard let quantized = sweep.quantized else {
      return try floats(sweep.weight, problem, notes: brain.notes)
    }
    return try packed(
      Rounding.finish(quantized, values: sweep.weight, problem, options, backend, notes: brain.notes), problem
    )
  }
}
