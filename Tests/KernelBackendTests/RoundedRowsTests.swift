import Compute
import KernelBackend
import Numerics
import TestSupport
import Testing

/// Norms and activations that round their rows for the products that read them: the same bits, once instead of in each
/// product, and only where all readers agree.
@Suite struct RoundedRowsTests {
  private let backend: KernelBackend
  private let inputs = 96

  init() throws { backend = try KernelBackend(.emulated) }

  private func weight(_ activations: IntegerActivations?, seed: UInt64) throws -> LinearWeight {
    var generator = SeededGenerator(seed: seed)
    let (outputs, words) = (8, PackedCodes.wordCount(inputs, bits: 8))
    let codes = (0..<outputs * words).map { _ in UInt32.random(in: 0...UInt32.max, using: &generator) }
    return try backend.place(
      LinearWeight(
        .integer(
          try IntegerWeight(
            outputs: outputs, inputs: inputs, bits: 8, groupSize: inputs,
            codes: HostTensor.copy(codes, .int32, Shape(outputs, words)),
            scales: HostTensor.copy([Float](repeating: 0.01, count: outputs), .float32, Shape(outputs, 1)),
            zero: .midpoint, order: .natural, outliers: nil, activations: activations))))
  }

  private func tensor(_ rows: Int, _ columns: Int, seed: UInt64) throws -> Tensor {
    var generator = SeededGenerator(seed: seed)
    let values = (0..<rows * columns).map { _ in bfloat16(Float.random(in: -2..<2, using: &generator)) }
    return try backend.place(HostTensor.copy(values, .bfloat16, Shape(rows, columns)))
  }

  /// The bits of a value, cut off.
  private func bfloat16(_ value: Float) -> UInt16 { UInt16(value.bitPattern >> 16) }

  private func bits(_ tensor: Tensor) throws -> [UInt16] {
    var bits = [UInt16](repeating: 0, count: tensor.shape.elementCount)
    try unsafe bits.withUnsafeMutableBytes { try unsafe backend.download(tensor.view, to: $0) }
    return bits
  }

  private struct Run: Equatable {
    var rows: [UInt16]
    var products: [[UInt16]]
    var isRounded: Bool
  }

  /// A norm or an activation, and all products that read it.
  private func run(_ weights: [LinearWeight], rows: Int, activation: Bool, announced: Bool) throws -> Run {
    let (residual, other) = (
      try tensor(rows, inputs, seed: 1), try tensor(rows, inputs, seed: 2)
    )
    let output = try tensor(rows, inputs, seed: 3)
    let scale = try backend.place(
      HostTensor.copy([UInt16](repeating: bfloat16(1.5), count: inputs), .bfloat16, Shape(inputs)))
    if announced { backend.expect(readers: weights) }
    if activation {
      try backend.activation(.silu, gate: residual.view, up: other.view, into: output.view)
    } else {
      try backend.norm(
        NormParameters(kind: .rms, weight: scale.view, bias: nil, epsilon: 1e-5), residual: residual.view,
        adding: other.view, into: output.view)
    }
    let isRounded = backend.hasRoundedRows
    let products = try weights.map { weight in
      let product = try tensor(rows, weight.outputs, seed: 4)
      try backend.linear(output.view, weight, accumulate: false, into: product.view)
      return try bits(product)
    }
    return Run(rows: try bits(output), products: products, isRounded: isRounded)
  }

  @Test(arguments: [false, true])
  func `readers that round alike get the codes they would have made`(_ activation: Bool) throws {
    for kind in [
      IntegerActivations.token(outlierThreshold: nil), .token(outlierThreshold: 1),
      .tensor(scale: 0.02, zero: 0),
    ] {
      let weights = try (0..<3).map { try weight(kind, seed: UInt64($0)) }
      for rows in [1, 5] {
        var fused = try run(weights, rows: rows, activation: activation, announced: true)
        let separate = try run(weights, rows: rows, activation: activation, announced: false)
        #expect(fused.isRounded && !separate.isRounded)
        fused.isRounded = false
        #expect(fused == separate)
      }
    }
  }

  @Test func `readers that differ round for themselves`() throws {
    let token = try weight(.token(outlierThreshold: nil), seed: 1)
    for other in [IntegerActivations.token(outlierThreshold: 1), .tensor(scale: 0.02, zero: 0), nil] {
      let weights = [token, try weight(other, seed: 2)]
      let announced = try run(weights, rows: 3, activation: false, announced: true)
      #expect(!announced.isRounded)
      #expect(announced == (try run(weights, rows: 3, activation: false, announced: false)))
    }
    #expect(!(try run([token], rows: 600, activation: false, announced: true)).isRounded)
  }

  @Test func `nobody reads codes of rows that may have changed`() throws {
    let token = try weight(.token(outlierThreshold: nil), seed: 1)
    #expect(try run([token], rows: 3, activation: false, announced: true).isRounded)
    #expect(backend.hasRoundedRows)
    let (sum, addend) = (try tensor(3, inputs, seed: 5), try tensor(3, inputs, seed: 6))
    try backend.add(addend.view, to: sum.view)
    #expect(!backend.hasRoundedRows)
    #expect(try run([token], rows: 3, activation: false, announced: true).isRounded)
    // What the host sends may go there too.
    let zeros = [UInt8](repeating: 0, count: sum.byteCount)
    try unsafe zeros.withUnsafeBytes { try unsafe backend.upload($0, to: sum.view) }
    #expect(!backend.hasRoundedRows)
    // What was announced holds for one operation.
    #expect(!(try run([token], rows: 3, activation: true, announced: false)).isRounded)
  }
}
