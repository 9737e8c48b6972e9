internal import Compute
internal import Numerics

/// AutoGPTQ's layout:
///
///     qweight int32 [K · bits / 32, N]   codes of a column along K, a dense stream of bits
///     qzeros  int32 [G, N · bits / 32]   zeros of a group along N; version 1 stores each less one
///     scales  16-bit [G, N]
///     g_idx   int32 [K]                  group of each input, k / groupSize without act-order
extension ModuleTensors {
  func describeGPTQ(
    _ scheme: LinearScheme, _ bits: Int, _ groupSize: Int?
  ) throws(QuantizationError) -> QuantizedLinear {
    let (words, outputs) = try matrix("qweight", [.int32])
    guard words * 32 % bits == 0 else {
      throw .tensorShape(
        "\(module).qweight", found: [words, outputs], expected: "whole codes of \(bits) bits")
    }
    return linear(scheme, outputs, words * 32 / bits, ["qweight", "qzeros", "scales", "g_idx"])
  }

  func readGPTQ(
    _ linear: QuantizedLinear, bits: Int, groupSize: Int?, symmetric: Bool, _ isVersion1: Bool
  ) throws(ReadFailure) -> IntegerWeight {
    let (outputs, inputs) = (linear.outputs, linear.inputs)
    let groupSize = try self.groupSize(groupSize, inputs: inputs)
    let groups = inputs / groupSize
    let words = try read("qweight", [.int32], [inputs * bits / 32, outputs])
    let scales = try read("scales", Self.scaleTypes, [groups, outputs])
    let zeroWords = try read("qzeros", [.int32], [groups, PackedCodes.wordCount(outputs, bits: bits)])
    let zeros = WordLayouts.transposed(
      WordLayouts.unpacked(zeroWords, bits: bits, count: outputs, adding: isVersion1 ? 1 : 0))
    let midpoint = 1 << (bits - 1)
    let isMidpoint = symmetric && zeros.integers.allSatisfy { $0 == midpoint }
    return try make { () throws(StoreError) in
      try IntegerWeight(
        outputs: outputs, inputs: inputs, bits: bits, groupSize: groupSize,
        codes: WordLayouts.transposed(words), scales: WordLayouts.transposed(scales),
        zero: isMidpoint ? .midpoint : .integers(zeros), order: try order(inputs, groupSize))
    }
  }

  /// Act-order only where the index says something.
  private func order(_ inputs: Int, _ groupSize: Int) throws(StoreError) -> IntegerWeight.Order {
    guard has("g_idx") else { return .natural }
    guard let index = try? read("g_idx", [.int32], [inputs]) else {
      let found = checkpoint.tensors["\(module).g_idx"]?.shape ?? []
      throw .shape(operand: "g_idx", found: found, expected: [inputs])
    }
    let isNatural = index.integers.enumerated().allSatisfy { $1 == $0 / groupSize }
    return isNatural ? .natural : .grouped(index)
  }
}
