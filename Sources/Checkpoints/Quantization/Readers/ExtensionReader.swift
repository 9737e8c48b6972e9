internal import Compute
internal import Numerics

/// What gpuinfer adds to compressed-tensors, because no format of others has it: SpQR's planes, and low-rank corrections
/// beside any layer (correction_a `[r, K]`, correction_b `[N, r]`).
extension ModuleTensors {
  static let corrections = ["correction_a", "correction_b"]
  static let spqrSuffixes = [
    "spqr_packed", "spqr_scale_codes", "spqr_zero_codes", "spqr_scale_scale", "spqr_scale_zero",
    "spqr_zero_scale", "spqr_zero_zero", "spqr_row_starts", "spqr_columns", "spqr_values", "spqr_order",
  ]

  func readSpQR(
    _ linear: QuantizedLinear, _ settings: Settings, _ statisticBits: Int, _ blockRows: Int
  ) throws(ReadFailure) -> SpQRWeight {
    let (outputs, inputs, bits) = (linear.outputs, linear.inputs, settings.bits)
    guard case .group(let groupSize) = settings.strategy, blockRows > 0, (1...8).contains(statisticBits)
    else {
      throw .store(.bits(statisticBits, supported: [Int](1...8)))
    }
    let groups = inputs / groupSize
    let statisticWords = PackedCodes.wordCount(groups, bits: statisticBits)
    let blocks = [(outputs + blockRows - 1) / blockRows, groups]
    let count = checkpoint.tensors["\(module).spqr_values"]?.elementCount ?? 0
    let codes = try read("spqr_packed", [.int32], [outputs, PackedCodes.wordCount(inputs, bits: bits)])
    let scaleCodes = try read("spqr_scale_codes", [.int32], [outputs, statisticWords])
    let zeroCodes = try read("spqr_zero_codes", [.int32], [outputs, statisticWords])
    let scaleGrid = SpQRWeight.Grid(
      scale: try read("spqr_scale_scale", Self.scaleTypes, blocks),
      zero: try read("spqr_scale_zero", Self.scaleTypes, blocks))
    let zeroGrid = SpQRWeight.Grid(
      scale: try read("spqr_zero_scale", Self.scaleTypes, blocks),
      zero: try read("spqr_zero_zero", Self.scaleTypes, blocks))
    let outliers = SpQRWeight.Outliers(
      rowStarts: try read("spqr_row_starts", [.int32], [outputs + 1]),
      columns: try read("spqr_columns", [.int32], [count]),
      values: try read("spqr_values", Self.scaleTypes, [count]))
    let order = has("spqr_order") ? try read("spqr_order", [.int32], [inputs]) : nil
    return try make { () throws(StoreError) in
      try SpQRWeight(
        outputs: outputs, inputs: inputs, bits: bits, groupSize: groupSize, blockRows: blockRows,
        codes: codes,
        statisticBits: statisticBits, scaleCodes: scaleCodes, zeroCodes: zeroCodes, scaleGrid: scaleGrid,
        zeroGrid: zeroGrid, outliers: outliers, order: order)
    }
  }

  func readCorrection(_ linear: QuantizedLinear) throws(ReadFailure) -> LowRankCorrection? {
    guard let rank = checkpoint.tensors["\(module).correction_a"]?.shape.first, rank > 0 else { return nil }
    return LowRankCorrection(
      a: try read("correction_a", Self.scaleTypes, [rank, linear.inputs]),
      b: try read("correction_b", Self.scaleTypes, [linear.outputs, rank]))
  }
}
