internal import Compute
internal import Numerics

/// Products with dense weights.
enum LinearCases {
  static var all: [OperationCase] {
    var cases: [OperationCase] = []
    // rows, inputs, outputs: one row and a few (decoding), whole and broken tiles, widths that no vector divides.
    let shapes = [
      (1, 64, 64), (1, 256, 1000), (1, 33, 7), (3, 128, 96), (8, 256, 64), (17, 72, 40), (16, 512, 128),
      (64, 128, 136), (65, 96, 129), (130, 64, 72), (2, 1, 1), (5, 1000, 24),
    ]
    for (rows, inputs, outputs) in shapes {
      cases.append(product(rows, inputs, outputs))
    }
    for (rows, inputs, outputs) in [(1, 64, 24), (9, 40, 33), (70, 128, 64)] {
      cases.append(product(rows, inputs, outputs, bias: true))
      cases.append(product(rows, inputs, outputs, accumulate: true))
      cases.append(product(rows, inputs, outputs, bias: true, accumulate: true, padding: 16))
      cases.append(product(rows, inputs, outputs, floatOutput: true))
    }
    // With multiples of 1/8 no order of summation rounds: whatever a matrix unit does inside, the bits are known.
    for (rows, inputs, outputs) in [(1, 512, 72), (16, 64, 128), (33, 200, 136), (130, 128, 264)] {
      cases.append(product(rows, inputs, outputs, exact: true))
      cases.append(product(rows, inputs, outputs, floatOutput: true, exact: true))
      cases.append(product(rows, inputs, outputs, accumulate: true, exact: true))
    }
    return cases
  }

  private static func product(
    _ rows: Int, _ inputs: Int, _ outputs: Int, bias: Bool = false, accumulate: Bool = false,
    floatOutput: Bool = false, padding: Int = 0, exact: Bool = false
  ) -> OperationCase {
    var shape = "\(rows) x \(inputs) -> \(outputs)"
    if bias { shape += ", bias" }
    if accumulate { shape += ", accumulate" }
    if floatOutput { shape += ", float32 output" }
    if padding > 0 { shape += ", rows apart" }
    if exact { shape += ", exact" }
    // Both sides sum in float32, each in its own order: each is within (K + 2) u of the exact sum.
    let bound =
      exact ? .exact : ErrorBound(relative: 1.01, magnitude: 2 * Double(inputs + 2) * 0x1p-24)
    return OperationCase(.linear, shape, bound) { bench throws(KernelError) in
      func operand(_ count: Int, _ stream: UInt32, deviation: Float = 1) -> [Float] {
        exact
          ? bench.values.eighths(count, stream)
          : bench.signed(bench.values.normal(count, stream, deviation: deviation, bench.weightType))
      }
      let weight = try bench.linear(
        operand(outputs * inputs, 0, deviation: 1 / Float(inputs).squareRoot()),
        outputs: outputs, inputs: inputs,
        bias: bias ? bench.signed(bench.values.normal(outputs, 1, .float32)) : nil)
      let input = try bench.activation(
        operand(rows * inputs, 2), Shape(rows, inputs),
        padding: padding)
      let output: Bench.Operand
      if accumulate {
        output = try bench.activation(
          operand(rows * outputs, 3), Shape(rows, outputs),
          padding: padding)
      } else {
        output = try bench.output(Shape(rows, outputs), floatOutput ? .float32 : nil, padding: padding)
      }
      try bench.backend.linear(input.view, weight, accumulate: accumulate, into: output.view)
      return try bench.read(output.view)
    }
  }
}
