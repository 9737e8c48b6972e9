internal import Numerics

/// Integer codes with a scale, and perhaps a zero, for each group of inputs of each output:
///
///     W[n, k] = scale[n, g] · (code[n, k] − zero[n, g])        g = group of k
///
/// The product is exact in float32 for 16-bit scales and integer zeros. The codes lie as in compressed-tensors'
/// `pack-quantized`, of which GPTQ and AWQ are permutations, so that one store holds what all of them hold.
package struct IntegerWeight {
  /// What a code is measured from. Stored, because formats that share the codes differ in it.
  package enum Zero {
    /// Every zero is `2^(bits−1)`: a "symmetric" weight.
    case midpoint
    /// uint8 `[N, G]`, below `2^bits`.
    case integers(Tensor)
    /// float16, bfloat16 or float32 `[N, G]` in units of codes, as SpQR and HQQ have them.
    case reals(Tensor)
  }

  /// Which group an input channel belongs to.
  package enum Order {
    /// Channel `k` belongs to group `k / groupSize`.
    case natural
    /// Act-order: int32 `[K]`, the group of each channel. Each group has `groupSize` of them.
    case grouped(Tensor)
    /// Columns were stored so that groups are contiguous: column `j` is channel `order[j]`. int32 `[K]`, a permutation.
    case permuted(Tensor)
  }

  package static let supportedBits = [2, 3, 4, 8]

  package let outputs: Int
  package let inputs: Int
  package let bits: Int
  /// Inputs of a group; `inputs` where there is one scale per output.
  package let groupSize: Int
  /// int32 `[N, ceil(K · bits / 32)]`, each row a `PackedCodes` stream.
  package let codes: Tensor
  /// float16, bfloat16 or float32 `[N, G]`.
  package let scales: Tensor
  package let zero: Zero
  package let order: Order
  /// Columns kept in 16 bits (OWQ); what their codes say does not count.
  package let outliers: OutlierColumns?
  /// nil: activations are multiplied as they are.
  package let activations: IntegerActivations?

  package var groups: Int { inputs / groupSize }

  /// - Throws: for parts that do not fit together. Elements are not looked at here (`validateValues` does), for they
  ///     may lie on a device.
  package init(
    outputs: Int, inputs: Int, bits: Int, groupSize: Int, codes: Tensor, scales: Tensor,
    zero: Zero = .midpoint, order: Order = .natural, outliers: OutlierColumns? = nil,
    activations: IntegerActivations? = nil
  ) throws(StoreError) {
    guard Self.supportedBits.contains(bits) else { throw .bits(bits, supported: Self.supportedBits) }
    guard groupSize > 0, inputs > 0, inputs % groupSize == 0 else {
      throw .groupSize(groupSize, inputs: inputs)
    }
    let groups = inputs / groupSize
    try StoreChecks.tensor(
      codes, "codes", [outputs, PackedCodes.wordCount(inputs, bits: bits)], [.int32])
    try StoreChecks.tensor(scales, "scales", [outputs, groups], StoreChecks.scaleTypes)
    switch zero {
    case .midpoint: break
    case .integers(let zeros): try StoreChecks.tensor(zeros, "zeros", [outputs, groups], [.uint8])
    case .reals(let zeros):
      try StoreChecks.tensor(zeros, "zeros", [outputs, groups], StoreChecks.scaleTypes)
    }
    switch order {
    case .natural: break
    case .grouped(let index): try StoreChecks.tensor(index, "groupIndex", [inputs], [.int32])
    case .permuted(let order): try StoreChecks.tensor(order, "order", [inputs], [.int32])
    }
    try outliers?.check(outputs: outputs)
    self.outputs = outputs
    self.inputs = inputs
    self.bits = bits
    self.groupSize = groupSize
    self.codes = codes
    self.scales = scales
    self.zero = zero
    self.order = order
    self.outliers = outliers
    self.activations = activations
  }

  /// Looks at every scale, zero and index: host memory only.
  ///
  /// - Throws: `notFinite`, or an index or zero out of range, or groups of uneven size.
  package func validateValues() throws(StoreError) {
    try StoreChecks.finite(scales, "scales")
    switch zero {
    case .midpoint: break
    case .reals(let zeros): try StoreChecks.finite(zeros, "zeros")
    case .integers(let zeros):
      for (index, value) in zeros.integers.enumerated() where value >= 1 << bits {
        throw .indexOutOfRange(operand: "zeros", index: index, value: value, limit: 1 << bits)
      }
    }
    switch order {
    case .natural: break
    case .grouped(let index): try check(groupIndex: index)
    case .permuted(let order): try StoreChecks.permutation(order, "order", count: inputs)
    }
    try outliers?.validateValues(inputs: inputs)
  }

  func check(groupIndex: Tensor) throws(StoreError) {
    let index = try StoreChecks.indices(groupIndex, "groupIndex", limit: groups)
    var counts = [Int](repeating: 0, count: groups)
    for group in index { counts[group] += 1 }
    for (group, count) in counts.enumerated() where count != groupSize {
      throw .unevenGroup(group: group, count: count, expected: groupSize)
    }
  }

  /// Bytes of all parts.
  package var byteCount: Int {
    var bytes = codes.byteCount + scales.byteCount + (outliers?.byteCount ?? 0)
    switch zero {
    case .midpoint: break
    case .integers(let zeros), .reals(let zeros): bytes += zeros.byteCount
    }
    switch order {
    case .natural: break
    case .grouped(let index), .permuted(let index): bytes += index.byteCount
    }
    return bytes
  }
}

/// How an integer weight's kernel rounds the activations it multiplies.
package enum IntegerActivations: Sendable, Equatable {
  /// Each token to int8 by its own largest size / 127, halves to even (ZeroQuant, W8A8).
  ///
  /// Channels of a token whose size reaches `outlierThreshold` are left out of that and multiplied unrounded by the
  /// dequantised weight (LLM.int8). bitsandbytes leaves a channel out for all tokens of a batch if one of them reaches
  /// the threshold; here a token's result never depends on others.
  case token(outlierThreshold: Float?)
  /// Every activation to int8 as `clamp(round(x / scale) + zero, −128, 127)` (SmoothQuant O3).
  case tensor(scale: Float, zero: Int8)
}

/// Whole input columns in 16 or 32 bits beside an integer weight (OWQ, arXiv 2306.02272).
package struct OutlierColumns {
  /// int32 `[n]`, ascending input channels.
  package let indices: Tensor
  /// float16, bfloat16 or float32 `[N, n]`: these columns of W.
  package let columns: Tensor

  package init(indices: Tensor, columns: Tensor) {
    self.indices = indices
    self.columns = columns
  }

  package var count: Int { indices.shape[0] }
  package var byteCount: Int { indices.byteCount + columns.byteCount }

  func check(outputs: Int) throws(StoreError) {
    let count = indices.shape.elementCount
    try StoreChecks.tensor(indices, "outlier indices", [count], [.int32])
    try StoreChecks.tensor(columns, "outlier columns", [outputs, count], StoreChecks.scaleTypes)
  }

  func validateValues(inputs: Int) throws(StoreError) {
    let values = try StoreChecks.indices(indices, "outlier indices", limit: inputs)
    for index in values.indices.dropFirst() where values[index] <= values[index - 1] {
      throw .notAscending(operand: "outlier indices", index: index)
    }
    try StoreChecks.finite(columns, "outlier columns")
  }
}
