internal import Compute
internal import Numerics

/// AutoAWQ's layouts; zeros are stored as they are.
///
///     gemm    qweight int32 [K, N / 8]   qzeros int32 [G, N / 8]   scales f16 [G, N]      nibbles in AWQ's order
///     gemv    qweight int32 [N, K / 8]   qzeros int32 [N, Z]       scales f16 [N, 8 · Z]  in natural order; Z words of
///             zeros hold the G of a row and padding
extension ModuleTensors {
  func describeAWQ(
    _ scheme: LinearScheme, _ layout: LinearScheme.AWQLayout
  ) throws(QuantizationError) -> QuantizedLinear {
    let (rows, columns) = try matrix("qweight", [.int32])
    let suffixes = ["qweight", "qzeros", "scales"]
    return layout == .gemm
      ? linear(scheme, columns * 8, rows, suffixes) : linear(scheme, rows, columns * 8, suffixes)
  }

  func readAWQGEMM(_ linear: QuantizedLinear, groupSize: Int?) throws(ReadFailure) -> IntegerWeight {
    let (outputs, inputs) = (linear.outputs, linear.inputs)
    let groupSize = try self.groupSize(groupSize, inputs: inputs)
    let groups = inputs / groupSize
    let words = try read("qweight", [.int32], [inputs, outputs / 8])
    let zeroWords = try read("qzeros", [.int32], [groups, outputs / 8])
    let scales = try read("scales", Self.scaleTypes, [groups, outputs])
    let zeros = WordLayouts.unpacked(WordLayouts.rowsFromAWQ(zeroWords), bits: 4, count: groups)
    return try make { () throws(StoreError) in
      try IntegerWeight(
        outputs: outputs, inputs: inputs, bits: 4, groupSize: groupSize,
        codes: WordLayouts.rowsFromAWQ(words),
        scales: WordLayouts.transposed(scales), zero: .integers(zeros))
    }
  }

  func readAWQGEMV(_ linear: QuantizedLinear, groupSize: Int?) throws(ReadFailure) -> IntegerWeight {
    let (outputs, inputs) = (linear.outputs, linear.inputs)
    let groupSize = try self.groupSize(groupSize, inputs: inputs)
    let groups = inputs / groupSize
    let words = try read("qweight", [.int32], [outputs, inputs / 8])
    // Words of zeros are padded to what the kernel loads at once: 1, 2 or 4 for groups of 128 and more, 64, 32.
    let multiple = groupSize >= 128 ? 1 : groupSize == 64 ? 2 : 4
    let zeroWords = ((groups + 7) / 8 + multiple - 1) / multiple * multiple
    let zeros = try read("qzeros", [.int32], [outputs, zeroWords])
    let padded = try read("scales", Self.scaleTypes, [outputs, zeroWords * 8])
    let scales = unsafe HostTensor.make(padded.dataType, Shape(outputs, groups)) { bytes in
      let size = padded.dataType.byteCount
      for row in 0..<outputs {
        unsafe bytes.baseAddress.map { base in
          unsafe (base + row * groups * size).copyMemory(
            from: padded.view.address + row * zeroWords * 8 * size, byteCount: groups * size)
        }
      }
    }
    return try make { () throws(StoreError) in
      try IntegerWeight(
        outputs: outputs, inputs: inputs, bits: 4, groupSize: groupSize, codes: words, scales: scales,
        zero: .integers(WordLayouts.unpacked(zeros, bits: 4, count: groups)))
    }
  }
}
