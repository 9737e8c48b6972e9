internal import Compute
internal import JSON
internal import Numerics

extension LinearWriter {
  /// The layout is drawn at the reader.
  func gptq(_ weight: IntegerWeight, isVersion1: Bool) throws(QuantizationError) -> [ModuleTensor] {
    guard weight.inputs * weight.bits % 32 == 0, weight.outputs * weight.bits % 32 == 0 else {
      throw refuse(
        "\(weight.inputs) inputs or \(weight.outputs) outputs of \(weight.bits) bits fill no whole words")
    }
    let zeros = weight.zeroCodes
    if isVersion1, zeros.integers.contains(0) {
      throw refuse("version 1 stores zeros less one and has no zero of 0; gptq_v2 has")
    }
    // Less one, modulo 2^bits.
    let packed = WordLayouts.packed(
      WordLayouts.transposed(zeros), bits: weight.bits, adding: isVersion1 ? 255 : 0)
    let index: Tensor
    if case .grouped(let groups) = weight.order {
      index = groups
    } else {
      index = HostTensor.copy(
        (0..<weight.inputs).map { Int32($0 / weight.groupSize) }, .int32, Shape(weight.inputs))
    }
    return [
      ModuleTensor("qweight", WordLayouts.transposed(weight.codes)), ModuleTensor("qzeros", packed),
      ModuleTensor("scales", WordLayouts.transposed(try halfScales(weight.scales, allowsBFloat16: true))),
      ModuleTensor("g_idx", index),
    ]
  }

  /// AutoAWQ's "gemm" layout; drawn at the reader.
  func awq(_ weight: IntegerWeight) throws(QuantizationError) -> [ModuleTensor] {
    guard weight.bits == 4 else { throw refuse("it has codes of 4 bits, not \(weight.bits)") }
    guard weight.outputs % 8 == 0 else { throw refuse("\(weight.outputs) outputs are no multiple of 8") }
    if case .grouped = weight.order { throw refuse("it has no act-order") }
    let zeros = WordLayouts.awqFromRows(
      WordLayouts.packed(weight.zeroCodes, bits: 4), inputs: weight.groups)
    return [
      ModuleTensor("qweight", WordLayouts.awqFromRows(weight.codes, inputs: weight.inputs)),
      ModuleTensor("qzeros", zeros),
      ModuleTensor("scales", WordLayouts.transposed(try halfScales(weight.scales, allowsBFloat16: false))),
    ]
  }

  /// Scales in 16 bits, where that changes none.
  private func halfScales(
    _ scales: Tensor, allowsBFloat16: Bool
  ) throws(QuantizationError) -> Tensor {
    if allowsBFloat16 && scales.dataType == .bfloat16 { return scales }
    if let halves = scales.asFloat16 { return halves }
    let values = scales.floats
    let upper = values.map { BFloat16($0) }
    if allowsBFloat16, zip(values, upper).allSatisfy({ $0 == $1.float }) {
      return HostTensor.copy(upper.map(\.bitPattern), .bfloat16, scales.shape)
    }
    throw refuse("its scales have 16 bits, and these \(scales.dataType.rawValue) numbers have none")
  }
}

extension Tensor {
  /// The same numbers in float16; nil where one of them has none there.
  var asFloat16: Tensor? {
    if dataType == .float16 { return self }
    let values = floats
    let halves = values.map(\.float16Bits)
    guard zip(values, halves).allSatisfy({ $0 == Float(float16Bits: $1) }) else { return nil }
    return HostTensor.copy(halves, .float16, shape)
  }
}

extension IntegerWeight {
  /// Zeros as uint8 `[N, G]`, midpoints written out.
  ///
  /// - Precondition: no real zeros.
  var zeroCodes: Tensor {
    if case .integers(let zeros) = zero { return zeros }
    return HostTensor.copy(
      [UInt8](repeating: UInt8(1 << (bits - 1)), count: outputs * groups), .uint8, Shape(outputs, groups))
  }
}
