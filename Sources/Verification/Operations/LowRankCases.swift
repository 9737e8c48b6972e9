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
      update([(3, 8), (2, 0), (1, 20)], inputs: 48, outputs: 40, 24, 24),
    ]
  }

  /// - Parameters:
  ///   - runs: rows and rank of each; rank 0 for rows without an adapter.
  ///   - widths: of the outputs that are computed from the input. Every second run says nothing about the last of several.
  private static func update(
    _ runs: [(rows: Int, rank: Int)], inputs: Int, outputs widths: Int..., padding: Int = 0
  ) -> OperationCase {
    let parts = runs.map { "\($0.rows) of rank \($0.rank)" }.joined(separator: ", ")
    let outputs = widths.map(String.init).joined(separator: " and ")
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
      let targets = try widths.enumerated().map { target, width throws(KernelError) in
        try bench.activation(
          operand(rows * width, UInt32(1 + 100 * target)), Shape(rows, width), padding: padding)
      }
      let columns = widths.count * ((rank + lowRankUnit - 1) / lowRankUnit * lowRankUnit)
      let shrunk = try bench.output(Shape(rows, columns))
      var updates: [LowRankRun] = []
      var start = 0
      for (index, run) in runs.enumerated() {
        defer { start += run.rows }
        if run.rank == 0 { continue }
        let group = try widths.enumerated().map { target, width throws(KernelError) -> LowRankUpdate? in
          if target > 0, target == widths.count - 1, index % 2 == 0 { return nil }
          let stream = UInt32(2 + 2 * index + 100 * target)
          return try bench.update(
            down: operand(run.rank * inputs, stream, 1 / Float(inputs).squareRoot()),
            up: operand(width * run.rank, stream + 1), inputs: inputs, outputs: width,
            scale: 0.75 + Float(3 + target) / Float(run.rank))
        }
        updates.append(LowRankRun(try bench.group(group), rows: start..<start + run.rows))
      }
      try bench.backend.add(updates, of: input.view, through: shrunk.view, to: targets.map(\.view))
      return try targets.map { target throws(KernelError) in try bench.read(target.view) }.flatMap { $0 }
    }
  }
}
