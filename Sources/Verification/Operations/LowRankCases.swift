internal import Compute
internal import Numerics

/// Updates of LoRA adapters: several in one step, beside rows that have none.
enum LowRankCases {
  static var all: [OperationCase] {
    [
      update([(1, 16)], inputs: 64, outputs: 96), update([(5, 8)], inputs: 40, outputs: 33),
      update([(3, 0), (20, 4), (1, 64), (2, 0), (9, 24)], inputs: 128, outputs: 72),
      update([(17, 256)], inputs: 72, outputs: 40), update([(4, 16), (4, 32)], inputs: 37, outputs: 23),
      update([(2, 16), (30, 40)], inputs: 64, outputs: 64, padding: 16),
    ]
  }

  /// - Parameter runs: rows and rank of each; rank 0 for rows without an adapter.
  private static func update(
    _ runs: [(rows: Int, rank: Int)], inputs: Int, outputs: Int, padding: Int = 0
  ) -> OperationCase {
    let parts = runs.map { "\($0.rows) of rank \($0.rank)" }.joined(separator: ", ")
    let shape = "\(parts), \(inputs) -> \(outputs)" + (padding > 0 ? ", rows apart" : "")
    let rank = runs.map(\.rank).max() ?? 0
    // Both sides sum in float32; a candidate rounds what lies between the two products to its type, too.
    let bound = { (type: DataType) in
      ErrorBound(relative: 1.01, magnitude: type.unitRoundoff + 2 * Double(inputs + rank + 4) * 0x1p-24)
    }
    return OperationCase(.addLowRank, shape, bound) { bench throws(KernelError) in
      let rows = runs.reduce(0) { $0 + $1.rows }
      func operand(_ count: Int, _ stream: UInt32, _ deviation: Float = 1) -> [Float] {
        bench.signed(bench.values.normal(count, stream, deviation: deviation, bench.weightType))
      }
      let input = try bench.activation(operand(rows * inputs, 0), Shape(rows, inputs), padding: padding)
      let output = try bench.activation(operand(rows * outputs, 1), Shape(rows, outputs), padding: padding)
      let columns = (rank + lowRankUnit - 1) / lowRankUnit * lowRankUnit
      let shrunk = try bench.output(Shape(rows, columns))
      var updates: [LowRankRun] = []
      var start = 0
      for (index, run) in runs.enumerated() {
        defer { start += run.rows }
        if run.rank == 0 { continue }
        let stream = UInt32(2 + 2 * index)
        let update = try bench.update(
          down: operand(run.rank * inputs, stream, 1 / Float(inputs).squareRoot()),
          up: operand(outputs * run.rank, stream + 1), inputs: inputs, outputs: outputs,
          scale: 0.75 + 3 / Float(run.rank))
        updates.append(LowRankRun(update, rows: start..<start + run.rows))
      }
      try bench.backend.add(updates, of: input.view, through: shrunk.view, to: output.view)
      return try bench.read(output.view)
    }
  }
}
