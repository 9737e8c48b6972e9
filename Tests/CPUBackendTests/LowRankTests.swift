import CPUBackend
import Compute
import Numerics
import Testing

@Suite("Low-rank updates")
struct LowRankTests {
  struct Case: CustomTestStringConvertible {
    var rows: Int
    var inputs: Int
    var rank: Int
    var outputs: Int
    var testDescription: String { "\(rows) x \(inputs) -> \(rank) -> \(outputs)" }
  }

  static let cases = [
    Case(rows: 1, inputs: 64, rank: 16, outputs: 96), Case(rows: 1, inputs: 1, rank: 1, outputs: 1),
    Case(rows: 2, inputs: 33, rank: 5, outputs: 15), Case(rows: 9, inputs: 40, rank: 16, outputs: 130),
    Case(rows: 7, inputs: 96, rank: 33, outputs: 64), Case(rows: 0, inputs: 8, rank: 4, outputs: 8),
    // Enough for several threads.
    Case(rows: 21, inputs: 128, rank: 64, outputs: 403),
  ]

  /// Adapters stored as bfloat16 are kept so; others are not rounded.
  @Test("equal two double-precision products, and a row alone the same row", arguments: cases, [true, false])
  func products(_ shape: Case, isBFloat16: Bool) throws {
    let (rows, inputs, rank, outputs) = (shape.rows, shape.inputs, shape.rank, shape.outputs)
    let type: DataType = isBFloat16 ? .bfloat16 : .float32
    for set in InstructionSet.available {
      let bench = Workbench(seed: UInt64(rows * 31 + rank), instructionSet: set)
      let a = bench.random(rank * inputs).map { rounded($0, to: type) }
      let b = bench.random(outputs * rank).map { rounded($0, to: type) }
      let x = bench.random(rows * inputs)
      let before = bench.random(rows * outputs)
      let update = LowRankUpdate(
        down: try bench.tensor(a, Shape(rank, inputs), type: .float32),
        up: try bench.tensor(b, Shape(outputs, rank), type: .float32), scale: 0.75)
      let group = try bench.backend.place([update])
      if case .dense(let up) = group.members[0].up.store { #expect(up.dataType == type) }
      func added(_ input: TensorView, to output: TensorView) throws -> [Float] {
        let shrunk = try bench.matrix(
          Array(repeating: .nan, count: input.rows * (rank + 2)), input.rows, rank + 2)
        try bench.backend.add(
          [LowRankRun(group, rows: 0..<input.rows)], of: input, through: shrunk, to: [output])
        return try bench.read(output)
      }
      let found = try added(
        try bench.matrix(x, rows, inputs, stride: inputs + 3),
        to: try bench.matrix(before, rows, outputs, stride: outputs + 5))

      var (expected, sizes) = ([Double](), [Double]())
      for row in 0..<rows {
        let thin = (0..<rank).map { r in
          (0..<inputs).reduce(0.0) { $0 + Double(x[row * inputs + $1]) * Double(a[r * inputs + $1]) }
        }
        for output in 0..<outputs {
          let terms = (0..<rank).map { thin[$0] * Double(b[output * rank + $0]) }
          expected.append(Double(before[row * outputs + output]) + 0.75 * terms.reduce(0, +))
          sizes.append(1 + Double(inputs).squareRoot() + terms.reduce(0) { $0 + abs($1) })
        }
      }
      #expect(worst(found, expected) { sizes[$0] * Double(8 + rank).squareRoot() * 0x1p-22 } <= 1, "\(set)")
      for row in 0..<rows {
        let alone = try added(
          try bench.matrix(Array(x[row * inputs..<(row + 1) * inputs]), 1, inputs),
          to: try bench.matrix(Array(before[row * outputs..<(row + 1) * outputs]), 1, outputs))
        #expect(alone == Array(found[row * outputs..<(row + 1) * outputs]), "\(set), row \(row)")
      }
    }
  }

  @Test(
    "Layers that read the same input, some of them left out, give the bits of each alone",
    arguments: [1, 2, 5, 40])
  func groups(rows: Int) throws {
    let (inputs, ranks, widths) = (96, [16, 3, 16], [64, 40, 33])
    for set in InstructionSet.available {
      let bench = Workbench(seed: UInt64(rows), instructionSet: set)
      let updates = try zip(ranks, widths).enumerated().map { index, shape in
        index == 1 && rows == 2
          ? nil
          : LowRankUpdate(
            down: try bench.tensor(bench.random(shape.0 * inputs), Shape(shape.0, inputs), type: .float32),
            up: try bench.tensor(bench.random(shape.1 * shape.0), Shape(shape.1, shape.0), type: .float32),
            scale: Float(1 + index))
      }
      let input = try bench.matrix(bench.random(rows * inputs), rows, inputs)
      let before = widths.map { bench.random(rows * $0) }
      func added(_ chosen: [LowRankUpdate?]) throws -> [[Float]] {
        let outputs = try zip(before, widths).map { try bench.matrix($0, rows, $1) }
        try bench.backend.add(
          [LowRankRun(try bench.backend.place(chosen), rows: 0..<rows)], of: input,
          through: try bench.matrix(Array(repeating: .nan, count: rows * 48), rows, 48), to: outputs)
        return try outputs.map { try bench.read($0) }
      }
      let together = try added(updates)
      for index in widths.indices {
        guard updates[index] != nil else {
          #expect(together[index] == before[index], "\(set), layer \(index)")
          continue
        }
        let alone = try added(updates.indices.map { $0 == index ? updates[$0] : nil })
        #expect(together[index] == alone[index] && alone[index] != before[index], "\(set), layer \(index)")
      }
    }
  }

  @Test("Matrices that do not fit each other, the rows or the memory between are refused")
  func refused() throws {
    let bench = Workbench()
    func tensor(_ rows: Int, _ columns: Int) throws -> Tensor {
      try bench.tensor(bench.random(rows * columns), Shape(rows, columns), type: .float32)
    }
    #expect(throws: KernelError.self) {
      try bench.backend.place([LowRankUpdate(down: try tensor(4, 8), up: try tensor(8, 5), scale: 1)])
    }
    let update = LowRankUpdate(down: try tensor(4, 8), up: try tensor(6, 4), scale: 1)
    let other = LowRankUpdate(down: try tensor(4, 9), up: try tensor(6, 4), scale: 1)
    #expect(throws: KernelError.self) { try bench.backend.place([update, other]) }
    #expect(throws: KernelError.self) { try bench.backend.place([nil, nil]) }
    let group = try bench.backend.place([update])
    let input = try bench.matrix(bench.random(16), 2, 8)
    for (rows, columns, outputs) in [(0..<3, 4, 6), (0..<2, 3, 6), (0..<2, 4, 7)] {
      #expect(throws: KernelError.self) {
        try bench.backend.add(
          [LowRankRun(group, rows: rows)], of: input,
          through: try bench.matrix(bench.random(2 * columns), 2, columns),
          to: [try bench.matrix(bench.random(2 * outputs), 2, outputs)])
      }
    }
    #expect(throws: KernelError.self) {
      try bench.backend.add(
        [LowRankRun(group, rows: 0..<2)], of: input, through: try bench.matrix(bench.random(8), 2, 4), to: [])
    }
  }
}
