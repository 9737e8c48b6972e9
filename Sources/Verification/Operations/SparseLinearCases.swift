internal import Compute
internal import Numerics

/// Products with 2:4 weights, of floating point and of codes. Both sides are given the same mask, values and scales.
enum SparseLinearCases {
  static var all: [OperationCase] {
    var cases: [OperationCase] = []
    // rows, inputs, outputs: each form of the kernels, tails in every dimension, k in one part and in several.
    let shapes = [
      (1, 128, 64), (1, 1024, 72), (8, 516, 24), (9, 96, 33), (17, 384, 40), (40, 640, 66), (66, 128, 136),
      (300, 256, 48), (5, 100, 24),
    ]
    for (rows, inputs, outputs) in shapes {
      let base = Case(rows: rows, inputs: inputs, outputs: outputs)
      let group = inputs % 128 == 0 ? 128 : inputs
      cases.append(base.operation)
      cases.append(base.with { $0.codes = .init(bits: 4, group: group, zeros: rows % 2 == 1) }.operation)
      cases.append(base.with { $0.codes = .init(bits: 8, group: group, zeros: rows % 2 == 0) }.operation)
    }
    for codes in [nil, Codes(bits: 4, group: 64, zeros: true), Codes(bits: 8, group: 256, zeros: false)] {
      for rows in [3, 70] {
        var base = Case(rows: rows, inputs: 256, outputs: 40)
        base.codes = codes
        cases.append(base.with { ($0.bias, $0.accumulate) = (true, true) }.operation)
        cases.append(base.with { ($0.floatOutput, $0.padding) = (true, 3) }.operation)
        // Multiples of 1/8 times multiples of 1/8, or codes times powers of two: no order of summation rounds.
        cases.append(base.with { ($0.exact, $0.floatOutput) = (true, true) }.operation)
      }
    }
    // Activations rounded to int8.
    for (rows, group) in [(1, 256), (17, 64), (130, 128)] {
      var base = Case(rows: rows, inputs: 256, outputs: 72)
      base.codes = Codes(
        bits: 8, group: group, zeros: false, activations: .token(outlierThreshold: nil))
      cases.append(base.operation)
      cases.append(base.with { ($0.bias, $0.accumulate) = (true, true) }.operation)
      cases.append(base.with { $0.codes?.activations = .tensor(scale: 0.01, zero: 0) }.operation)
    }
    return cases
  }

  struct Codes {
    var bits: Int
    var group: Int
    var zeros: Bool
    var activations: IntegerActivations?
  }

  private struct Case {
    var rows: Int
    var inputs: Int
    var outputs: Int
    /// nil for values in floating point.
    var codes: Codes?
    var bias = false
    var accumulate = false
    var floatOutput = false
    var padding = 0
    var exact = false

    func with(_ change: (inout Case) -> Void) -> Case {
      var copy = self
      change(&copy)
      return copy
    }

    private var shape: String {
      var text = "\(rows) x \(inputs) -> \(outputs), 2:4"
      if let codes {
        text += " int\(codes.bits) " + (codes.group == inputs ? "by output" : "in groups of \(codes.group)")
        if codes.zeros { text += ", zeros" }
        switch codes.activations {
        case nil: break
        case .token: text += ", int8 activations"
        case .tensor: text += ", int8 activations of one scale"
        }
      }
      if bias { text += ", bias" }
      if accumulate { text += ", accumulate" }
      if floatOutput { text += ", float32 output" }
      if padding > 0 { text += ", rows apart" }
      if exact { text += ", exact" }
      return text
    }

    var operation: OperationCase {
      // Both sides sum in float32, each in its own order, and scale groups or weights: each is within (K + G + 4) u.
      let sums = Double(2 * inputs + (codes.map { inputs / $0.group } ?? 0) + 8)
      let bound = exact ? ErrorBound.exact : ErrorBound(relative: 1.01, magnitude: sums * 0x1p-24)
      var operation = OperationCase(.linear, shape, bound) { bench throws(KernelError) in try run(bench) }
      // It rounds each weight to the element type, which values and those of exact cases are of.
      if codes != nil && !exact {
        operation.boundsOfVariants["sparse24.expanded"] = { type in
          ErrorBound(relative: 1.01, magnitude: sums * 0x1p-24 + 1.01 * type.unitRoundoff)
        }
      }
      return operation
    }

    private func run(_ bench: Bench) throws(KernelError) -> [Float] {
      func operand(_ count: Int, _ stream: UInt32) -> [Float] {
        exact
          ? bench.values.eighths(count, stream)
          : bench.signed(bench.values.normal(count, stream, bench.weightType))
      }
      let values = try values(bench)
      let weight: SparseWeight
      do throws(StoreError) { weight = try store(values, bench) } catch {
        throw .unsupported(operation: "linear", reason: "\(error)")
      }
      let placed = try bench.linear(
        .sparse(weight), bias: bias ? bench.signed(bench.values.normal(outputs, 1, .float32)) : nil)
      let input = try bench.activation(operand(rows * inputs, 2), Shape(rows, inputs), padding: padding)
      let output: Bench.Operand
      if accumulate {
        output = try bench.activation(operand(rows * outputs, 3), Shape(rows, outputs), padding: padding)
      } else {
        output = try bench.output(Shape(rows, outputs), floatOutput ? .float32 : nil, padding: padding)
      }
      try bench.backend.linear(input.view, placed, accumulate: accumulate, into: output.view)
      return try bench.read(output.view)
    }

    /// Any two of every four inputs, all six pairs.
    private func mask(_ bench: Bench) -> Tensor {
      let pairs: [UInt8] = [0b0011, 0b0101, 0b0110, 0b1001, 0b1010, 0b1100]
      let width = (inputs + 7) / 8
      var bytes = [UInt8](repeating: 0, count: outputs * width)
      for (place, pair) in bench.values.integers(outputs * inputs / 4, 8, below: 6).enumerated() {
        let (row, run) = (place / (inputs / 4), place % (inputs / 4))
        bytes[row * width + run / 2] |= pairs[Int(pair)] << UInt8(run % 2 * 4)
      }
      return HostTensor.copy(bytes, .uint8, Shape(outputs, width))
    }

    private func values(_ bench: Bench) throws(KernelError) -> SparseWeight.Values {
      let kept = inputs / 2
      guard let codes else {
        let values =
          exact
          ? bench.values.eighths(outputs * kept, 4)
          : bench.values.normal(outputs * kept, 4, bench.weightType)
        return .floats(try bench.hostTensor(values, Shape(outputs, kept), bench.weightType))
      }
      let limit = 1 << codes.bits
      let drawn = bench.values.integers(outputs * kept, 4, below: limit).map { UInt8($0) }
      let words = (0..<outputs).flatMap { row in
        PackedCodes.pack(Array(drawn[row * kept..<(row + 1) * kept]), bits: codes.bits)
      }
      let groups = inputs / codes.group
      let scales = bench.values.integers(outputs * groups, 5, below: 64).map { step in
        exact ? Float(sign: .plus, exponent: Int(step % 4) - 2, significand: 1) : Float(step + 32) * 0x1.1p-10
      }
      var zero = IntegerWeight.Zero.midpoint
      if codes.zeros {
        let values = bench.values.integers(outputs * groups, 6, below: limit).map { UInt8($0) }
        zero = .integers(HostTensor.copy(values, .uint8, Shape(outputs, groups)))
      }
      let width = PackedCodes.wordCount(kept, bits: codes.bits)
      return .codes(
        SparseCodes(
          bits: codes.bits, groupSize: codes.group,
          words: HostTensor.copy(words, .int32, Shape(outputs, width)),
          scales: try bench.hostTensor(scales, Shape(outputs, groups), .float16), zero: zero,
          activations: codes.activations))
    }

    private func store(_ values: SparseWeight.Values, _ bench: Bench) throws(StoreError) -> SparseWeight {
      try SparseWeight(
        outputs: outputs, inputs: inputs, mask: mask(bench), pattern: .twoOfFour, values: values)
    }
  }
}
