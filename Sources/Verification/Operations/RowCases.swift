internal import Compute
internal import Numerics

/// Operations that treat rows by themselves: embeddings, norms, rope, activations, sums.
enum RowCases {
  /// Widths with and without whole 16-byte vectors, one element, and more than one pass of a block.
  private static let widths = [1, 7, 16, 64, 100, 256, 1032, 4096]

  static var all: [OperationCase] { embed + norm + rope + activation + gather + add }

  private static var embed: [OperationCase] {
    widths.flatMap { width in
      [false, true].map { hasPositions in
        let shape = "5 of 9 rows x \(width)" + (hasPositions ? ", position table" : "")
        return OperationCase(.embed, shape, hasPositions ? .rounded : .exact) { bench throws(KernelError) in
          let tokens = try bench.integers([8, 0, 3, 3, 7], Shape(5))
          let positions = try bench.integers([0, 1, 5, 2, 5], Shape(5))
          let table = try bench.placed(
            bench.values.normal(9 * width, 0, bench.weightType), Shape(9, width), bench.weightType)
          let positionTable = try bench.placed(
            bench.values.normal(6 * width, 1, bench.weightType), Shape(6, width), bench.weightType)
          let output = try bench.output(Shape(5, width))
          try bench.backend.embed(
            tokens: tokens.view, table: table.view, positions: hasPositions ? positions.view : nil,
            positionTable: hasPositions ? positionTable.view : nil, into: output.view)
          return try bench.read(output.view)
        }
      }
    }
  }

  /// The sum with the residual is exact by choice of the operands, so only the norm itself rounds.
  private static var norm: [OperationCase] {
    widths.filter { $0 > 1 }.flatMap { width in
      [NormParameters.Kind.rms, .layer].flatMap { kind in
        [false, true].map { adds in
          let shape = "3 x \(width), \(kind)" + (adds ? ", residual added" : "")
          // Cancellation in x − mean is bounded by float32, whatever the output's type.
          let bound = ErrorBound(relative: 1.01, scale: 0x1p-19)
          return OperationCase(.norm, shape, bound) { bench throws(KernelError) in
            // Both are what the candidate's type can hold: a backend may keep them in it.
            let weight = try bench.placed(
              bench.values.eighths(width, 0).map { 1 + 0.25 * $0 }, Shape(width), .float32)
            let bias = try bench.placed(
              bench.values.normal(width, 1, bench.weightType), Shape(width), .float32)
            let residual = try bench.activation(bench.values.eighths(3 * width, 2), Shape(3, width))
            let input = try bench.activation(bench.values.eighths(3 * width, 3), Shape(3, width))
            let output = try bench.output(Shape(3, width))
            try bench.backend.norm(
              NormParameters(
                kind: kind, weight: weight.view, bias: kind == .layer ? bias.view : nil, epsilon: 1e-5),
              residual: residual.view, adding: adds ? input.view : nil, into: output.view)
            return try bench.read(output.view) + bench.read(residual.view)
          }
        }
      }
    }
  }

  private static var rope: [OperationCase] {
    // head dimension, rotated part, query heads, key heads
    [(16, 16, 4, 2), (64, 64, 2, 1), (80, 32, 3, 3), (128, 128, 4, 1), (256, 64, 1, 1), (6, 2, 5, 1)].flatMap
    {
      head, rotary, queries, keys in
      [RopeParameters.Pairing.halves, .interleaved].map { pairing in
        let shape = "4 tokens, \(queries)+\(keys) heads of \(head), \(rotary) rotated, \(pairing)"
        return OperationCase(.rope, shape, .rounded) { bench throws(KernelError) in
          var table: [Float] = []
          for position in 0..<8 {
            let angles = (0..<rotary / 2).map { Double(position) / Double($0 + 1) }
            table += angles.map { Float(Self.cosine($0)) } + angles.map { Float(Self.cosine($0 - 0.5 * .pi)) }
          }
          let angles = try bench.floats(table, Shape(8, rotary))
          let positions = try bench.integers([0, 7, 3, 1], Shape(4))
          let query = try bench.activation(
            bench.values.normal(4 * queries * head, 0, bench.weightType), Shape(4, queries * head),
            padding: 2 * keys * head)
          let key = try bench.activation(
            bench.values.normal(4 * keys * head, 1, bench.weightType), Shape(4, keys * head),
            padding: queries * head)
          try bench.backend.rope(
            RopeParameters(
              pairing: pairing, headDimension: head, rotaryDimension: rotary, table: angles.view),
            positions: positions.view, query: query.view, key: key.view)
          return try bench.read(query.view) + bench.read(key.view)
        }
      }
    }
  }

  /// By Taylor's series after halving the angle: the cases need no library's cosine, only the same one on both sides.
  private static func cosine(_ angle: Double) -> Double {
    let small = angle / 64
    var term = 1.0
    var sum = 1.0
    for index in 1..<10 {
      term *= -small * small / Double((2 * index - 1) * (2 * index))
      sum += term
    }
    for _ in 0..<6 { sum = 2 * sum * sum - 1 }
    return sum
  }

  private static var activation: [OperationCase] {
    [1, 24, 100, 1032].flatMap { width in
      Activation.allCases.flatMap { kind in
        [false, true].map { gated in
          let shape = "3 x \(width), \(kind)" + (gated ? ", gated" : "")
          return OperationCase(.activation, shape, .rounded) { bench throws(KernelError) in
            let gate = try bench.activation(
              bench.values.normal(3 * width, 0, deviation: 3, bench.weightType), Shape(3, width),
              padding: width)
            let up = try bench.activation(
              bench.values.normal(3 * width, 1, bench.weightType), Shape(3, width), padding: width)
            let output = try bench.output(Shape(3, width))
            try bench.backend.activation(
              kind, gate: gate.view, up: gated ? up.view : nil, into: output.view)
            return try bench.read(output.view)
          }
        }
      }
    }
  }

  private static var gather: [OperationCase] {
    widths.flatMap { width in
      // Rows of their own, and columns of a fused projection.
      [0, 24].map { padding in
        let shape = "4 of 6 rows x \(width)" + (padding > 0 ? ", \(width + padding) apart" : "")
        return OperationCase(.gatherRows, shape, .exact) { bench throws(KernelError) in
          let rows = try bench.integers([5, 0, 5, 2], Shape(4))
          let input = try bench.activation(
            bench.values.normal(6 * width, 0, bench.weightType), Shape(6, width), padding: padding)
          let output = try bench.output(Shape(4, width))
          try bench.backend.gatherRows(input.view, rows: rows.view, into: output.view)
          return try bench.read(output.view)
        }
      }
    }
  }

  private static var add: [OperationCase] {
    widths.map { width in
      OperationCase(.add, "3 x \(width)", .rounded) { bench throws(KernelError) in
        let input = try bench.activation(
          bench.values.normal(3 * width, 0, bench.weightType), Shape(3, width))
        let sum = try bench.activation(
          bench.values.normal(3 * width, 1, bench.weightType), Shape(3, width))
        try bench.backend.add(input.view, to: sum.view)
        return try bench.read(sum.view)
      }
    }
  }
}
