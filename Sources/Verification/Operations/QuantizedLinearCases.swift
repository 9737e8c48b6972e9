internal import Compute
internal import Numerics

/// Products with quantised weights. Both sides are given the same codes, scales and zeros.
enum QuantizedLinearCases {
  static var all: [OperationCase] {
    var cases: [OperationCase] = []
    // rows, inputs, outputs, group: each form of the kernels, tails in every dimension, k in one part and in several.
    let shapes = [
      (1, 128, 64, 32), (1, 1024, 72, 128), (3, 256, 130, 64), (8, 512, 24, 128), (9, 96, 33, 96),
      (17, 384, 40, 128), (40, 640, 66, 64), (66, 128, 136, 32), (300, 256, 48, 128), (5, 100, 24, 100),
    ]
    for (rows, inputs, outputs, group) in shapes {
      for zeros in [false, true] {
        cases.append(Case(rows: rows, inputs: inputs, outputs: outputs, group: group, zeros: zeros).operation)
      }
    }
    let (groups, channel) = (
      Case(rows: 3, inputs: 256, outputs: 40, group: 64, zeros: true),
      Case(rows: 70, inputs: 256, outputs: 40, group: 256)
    )
    for type in [DataType.float32, .bfloat16, .float16] {
      cases.append(groups.with { $0.scaleType = type }.operation)
    }
    for base in [groups, channel] {
      cases.append(base.with { $0.isReordered = true }.operation)
      cases.append(base.with { ($0.bias, $0.accumulate) = (true, true) }.operation)
      cases.append(base.with { $0.floatOutput = true }.operation)
      cases.append(base.with { $0.padding = 3 }.operation)
      // Multiples of 1/8 times codes times powers of two: no order of summation rounds.
      cases.append(base.with { ($0.exact, $0.floatOutput) = (true, true) }.operation)
      cases.append(base.with { ($0.exact, $0.isReordered, $0.accumulate) = (true, true, true) }.operation)
    }
    // Every other code, in a form for few rows and in one for many.
    for rows in [5, 300] {
      let base = Case(rows: rows, inputs: 256, outputs: 40, group: 64, zeros: true)
      for bits in [2, 3, 8] {
        cases.append(base.with { $0.bits = bits }.operation)
        cases.append(base.with { ($0.bits, $0.zeros, $0.group) = (bits, false, 256) }.operation)
        cases.append(base.with { ($0.bits, $0.exact, $0.floatOutput) = (bits, true, true) }.operation)
      }
      cases.append(base.with { ($0.bits, $0.isReordered) = (3, true) }.operation)
      cases.append(base.with { $0.isFloat8 = true }.operation)
      cases.append(base.with { ($0.isFloat8, $0.group, $0.scaleType) = (true, 256, .float32) }.operation)
    }
    // Activations rounded to int8, with outliers and without.
    for (rows, group) in [(1, 256), (17, 64), (130, 256)] {
      let base = Case(
        rows: rows, inputs: 256, outputs: 72, group: group, bits: 8,
        activations: .token(outlierThreshold: nil))
      cases.append(base.operation)
      cases.append(base.with { $0.activations = .token(outlierThreshold: 2) }.operation)
      cases.append(base.with { $0.activations = .tensor(scale: 0.01, zero: 0) }.operation)
      cases.append(base.with { ($0.isReordered, $0.bias, $0.accumulate) = (true, true, true) }.operation)
      cases.append(base.with { ($0.floatOutput, $0.padding, $0.scaleType) = (true, 8, .bfloat16) }.operation)
    }
    // Activations rounded to E4M3.
    for (rows, group) in [(1, 256), (17, 64), (130, 256), (5, 160)] {
      let base = Case(
        rows: rows, inputs: group == 160 ? 320 : 256, outputs: 72, group: group, isFloat8: true,
        float8Activations: .token)
      cases.append(base.operation)
      cases.append(
        base.with { ($0.float8Activations, $0.floatOutput) = (.tensor(scale: 0.01), true) }.operation)
      cases.append(base.with { ($0.bias, $0.accumulate, $0.padding) = (true, true, 8) }.operation)
    }
    // With a low-rank correction; more rows than are corrected at once.
    for (rows, rank) in [(1, 8), (19, 24), (530, 16)] {
      let base = Case(rows: rows, inputs: 128, outputs: 40, group: 64, zeros: true, rank: rank)
      cases.append(base.operation)
      cases.append(base.with { ($0.bias, $0.accumulate, $0.padding) = (true, true, 8) }.operation)
    }
    cases.append(
      Case(rows: 9, inputs: 256, outputs: 40, group: 256, bits: 8, activations: .token(outlierThreshold: nil))
        .with { ($0.rank, $0.floatOutput) = (4, true) }.operation)
    // More rows than are gathered at once.
    cases.append(Case(rows: 600, inputs: 64, outputs: 16, group: 32).with { $0.isReordered = true }.operation)
    return cases
  }

  private struct Case {
    var rows: Int
    var inputs: Int
    var outputs: Int
    var group: Int
    var bits = 4
    /// E4M3 with a scale for blocks of 16 outputs and `group` inputs.
    var isFloat8 = false
    var zeros = false
    var scaleType = DataType.float16
    /// Act-order: the groups' inputs are scattered.
    var isReordered = false
    var activations: IntegerActivations?
    var float8Activations: Float8Weight.Activations?
    var bias = false
    var accumulate = false
    var floatOutput = false
    var padding = 0
    var exact = false
    /// Of a low-rank correction; 0 for none.
    var rank = 0

    func with(_ change: (inout Case) -> Void) -> Case {
      var copy = self
      change(&copy)
      return copy
    }

    private var shape: String {
      var text = "\(rows) x \(inputs) -> \(outputs), \(isFloat8 ? "float8" : "int\(bits)") "
      text += group == inputs ? "by output" : "in groups of \(group)"
      if zeros && !isFloat8 { text += ", zeros" }
      if scaleType != .float16 { text += ", \(scaleType.rawValue) scales" }
      if isReordered { text += ", act-order" }
      switch activations {
      case nil: break
      case .token(let threshold): text += ", int8 activations" + (threshold == nil ? "" : " but outliers")
      case .tensor: text += ", int8 activations of one scale"
      }
      switch float8Activations {
      case nil: break
      case .tensor: text += ", E4M3 activations of one scale"
      case .token, .group: text += ", E4M3 activations"
      }
      if bias { text += ", bias" }
      if accumulate { text += ", accumulate" }
      if floatOutput { text += ", float32 output" }
      if padding > 0 { text += ", rows apart" }
      if exact { text += ", exact" }
      if rank > 0 { text += ", correction of rank \(rank)" }
      return text
    }

    var operation: OperationCase {
      // Both sides sum in float32, each in its own order, and scale groups or weights: each is within (K + G + 4) u.
      let sums = Double(2 * inputs + inputs / group + 8 + rank)
      // A correction is added to what is rounded already, and what lies between its products is rounded too.
      let rounded = rank > 0 ? 2.02 : 0
      let bound = { (type: DataType) in
        exact
          ? .exact
          : ErrorBound(relative: 1.01, magnitude: sums * 0x1p-24 + rounded * type.unitRoundoff)
      }
      var operation = OperationCase(.linear, shape, bound) { bench throws(KernelError) in try run(bench) }
      // One kernel rounds each weight to the element type; weights of exact cases are of that type.
      if !exact {
        operation.boundsOfVariants["dequantized"] = { type in
          ErrorBound(
            relative: 1.01, magnitude: sums * 0x1p-24 + (1.01 + rounded) * type.unitRoundoff)
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
      let weight = try bench.linear(
        try store(bench), bias: bias ? bench.signed(bench.values.normal(outputs, 1, .float32)) : nil,
        correction: rank > 0 ? (operand(rank * inputs, 8), operand(outputs * rank, 9)) : nil)
      let input = try bench.activation(operand(rows * inputs, 2), Shape(rows, inputs), padding: padding)
      let output: Bench.Operand
      if accumulate {
        output = try bench.activation(operand(rows * outputs, 3), Shape(rows, outputs), padding: padding)
      } else {
        output = try bench.output(Shape(rows, outputs), floatOutput ? .float32 : nil, padding: padding)
      }
      try bench.backend.linear(input.view, weight, accumulate: accumulate, into: output.view)
      return try bench.read(output.view)
    }

    private func store(_ bench: Bench) throws(KernelError) -> LinearWeight.Store {
      if isFloat8 { return try float8Store(bench) }
      let groups = inputs / group
      let codes = bench.values.integers(outputs * inputs, 4, below: 1 << bits).map { UInt8($0) }
      let width = PackedCodes.wordCount(inputs, bits: bits)
      let words = (0..<outputs).flatMap { row in
        PackedCodes.pack(Array(codes[row * inputs..<(row + 1) * inputs]), bits: bits)
      }
      let scales = bench.values.integers(outputs * groups, 5, below: 64).map { step in
        exact ? Float(sign: .plus, exponent: Int(step % 4) - 2, significand: 1) : Float(step + 32) * 0x1.1p-10
      }
      var zero = IntegerWeight.Zero.midpoint
      if zeros {
        let values = bench.values.integers(outputs * groups, 6, below: 1 << bits).map { UInt8($0) }
        zero = .integers(HostTensor.copy(values, .uint8, Shape(outputs, groups)))
      }
      var order = IntegerWeight.Order.natural
      if isReordered {
        let index = bench.values.permutation(inputs, 7).map { $0 / Int32(group) }
        order = .grouped(HostTensor.copy(index, .int32, Shape(inputs)))
      }
      let scaleTensor = try bench.hostTensor(scales, Shape(outputs, groups), scaleType)
      do throws(StoreError) {
        return .integer(
          try IntegerWeight(
            outputs: outputs, inputs: inputs, bits: bits, groupSize: group,
            codes: HostTensor.copy(words, .int32, Shape(outputs, width)), scales: scaleTensor, zero: zero,
            order: order, activations: activations))
      } catch { throw .unsupported(operation: "linear", reason: "\(error)") }
    }

    private func float8Store(_ bench: Bench) throws(KernelError) -> LinearWeight.Store {
      let blockRows = 16
      let shape = Shape((outputs + blockRows - 1) / blockRows, inputs / group)
      let scales = bench.values.integers(shape.elementCount, 5, below: 64).map { Float($0 + 32) * 0x1.1p-10 }
      // Every code but NaN.
      let codes = bench.values.integers(outputs * inputs, 4, below: 254).map { code in
        UInt8(code < 127 ? code : code + 1)
      }
      let scaleTensor = try bench.hostTensor(scales, shape, scaleType)
      do throws(StoreError) {
        return .float8(
          try Float8Weight(
            outputs: outputs, inputs: inputs,
            codes: HostTensor.copy(codes, .float8E4M3, Shape(outputs, inputs)), scales: scaleTensor,
            blockRows: blockRows, blockColumns: group, activations: float8Activations))
      } catch { throw .unsupported(operation: "linear", reason: "\(error)") }
    }
  }
}
