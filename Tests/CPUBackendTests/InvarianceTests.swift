import CPUBackend
import Compute
import Numerics
import Testing

@Suite("Same bits whatever the batch")
struct InvarianceTests {
  /// Inputs across the run boundary (1024) and vector tails; outputs that no tile divides.
  static let shapes = [(inputs: 1, outputs: 3), (40, 29), (1030, 13), (2049, 19)]

  @Test(
    "linear: a row's bits depend on no other row, thread or instruction set", arguments: shapes,
    LinearTests.arithmetics)
  func linear(_ shape: (inputs: Int, outputs: Int), _ arithmetic: LinearTests.Arithmetic) throws {
    let (inputs, outputs) = shape
    let most = 70
    var reference: [UInt32] = []
    for (set, threads) in InstructionSet.available.flatMap({ set in [1, 2, 3].map { (set, $0) } }) {
      let bench = Workbench(
        seed: 11, threads: threads, instructionSet: set, productType: arithmetic.product)
      let x = bench.random(most * inputs)
      let input = try bench.matrix(x, most, inputs)
      let weight = LinearWeight(
        dense: try bench.tensor(
          bench.random(outputs * inputs), Shape(outputs, inputs), type: arithmetic.weight),
        bias: try bench.tensor(bench.random(outputs), Shape(outputs), type: .float32))
      let output = try bench.matrix([Float](repeating: 0, count: most * outputs), most, outputs)
      if reference.isEmpty {
        // Row by row first: that is what every batch must reproduce.
        for row in 0..<most {
          let one = output.rows(row..<row + 1)
          try bench.backend.linear(input.rows(row..<row + 1), weight, accumulate: false, into: one)
        }
        reference = bits(try bench.read(output))
      }
      // Every batch size on the fastest build, a few that cross the kernels' borders on the others.
      let sizes = set == .best && threads == 2 ? Array(1...most) : [1, 3, 5, 16, 17, most]
      for rows in sizes {
        let start = (most - rows) / 2
        let range = start..<start + rows
        try bench.backend.linear(input.rows(range), weight, accumulate: false, into: output.rows(range))
        let found = bits(try bench.read(output.rows(range)))
        #expect(
          found == Array(reference[start * outputs..<(start + rows) * outputs]),
          "\(set), \(threads) threads, \(rows) rows")
      }
    }
  }

  @Test(
    "linear: input rows may be strided and weights may start at an odd address",
    arguments: [DataType.float32, .bfloat16])
  func placement(_ product: DataType) throws {
    let bench = Workbench(seed: 12, productType: product)
    let (rows, inputs, outputs) = (6, 100, 20)
    let x = bench.random(rows * inputs)
    let w = bench.random(outputs * inputs).map { BFloat16($0).bitPattern }
    let storage = try bench.backend.allocate(byteCount: w.count * 2 + 2)
    var results: [[UInt32]] = []
    for (offset, stride) in [(0, inputs), (1, inputs + 9)] {
      let bytes = unsafe TensorView(
        address: storage.address + offset, shape: Shape(w.count * 2), dataType: .uint8)
      unsafe try w.withUnsafeBytes { unsafe try bench.backend.upload($0, to: bytes) }
      let weight = LinearWeight(
        dense: Tensor(
          storage: storage, byteOffset: offset, shape: Shape(outputs, inputs), dataType: .bfloat16))
      for count in [1, rows] {
        let input = try bench.matrix(x, rows, inputs, stride: stride).prefix(rows: count)
        let output = try bench.matrix(
          [Float](repeating: 0, count: count * outputs), count, outputs, stride: stride)
        try bench.backend.linear(input, weight, accumulate: false, into: output)
        results.append(bits(Array(try bench.read(output)[0..<outputs])))
      }
    }
    #expect(Set(results).count == 1)
  }

  @Test("norm and activation: the same bits in a batch and on every instruction set")
  func rows() throws {
    let (rows, columns) = (300, 131)
    var reference: [[UInt32]] = []
    for (set, threads) in InstructionSet.available.flatMap({ set in [1, 3].map { (set, $0) } }) {
      let bench = Workbench(seed: 13, threads: threads, instructionSet: set)
      let x = bench.random(rows * columns).map { 4 * $0 }
      let weight = try bench.vector(bench.random(columns))
      var found: [[UInt32]] = []
      for kind in [NormParameters.Kind.rms, .layer] {
        for step in [rows, 7] {
          let view = try bench.matrix(x, rows, columns)
          for start in stride(from: 0, to: rows, by: step) {
            let part = view.rows(start..<min(rows, start + step))
            try bench.backend.norm(
              NormParameters(kind: kind, weight: weight, epsilon: 1e-6), residual: part, adding: part,
              into: part)
            try bench.backend.activation(.gelu, gate: part, up: nil, into: part)
          }
          found.append(bits(try bench.read(view)))
        }
      }
      #expect(found[0] == found[1])
      #expect(found[2] == found[3])
      if reference.isEmpty { reference = found }
      #expect(found == reference, "\(set), \(threads) threads")
    }
  }
}
