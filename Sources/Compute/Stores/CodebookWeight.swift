internal import Numerics

/// 4-bit codes into a table of sixteen values (bitsandbytes' NF4 and FP4): `W[n, k] = table[code[n, k]] · scale[n, k / groupSize]`.
package struct CodebookWeight {
  package let outputs: Int
  package let inputs: Int
  /// int32 `[N, ceil(K / 8)]`, each row a `PackedCodes` stream of 4 bits.
  package let codes: Tensor
  /// float32 `[16]`.
  package let table: Tensor
  package let groupSize: Int
  /// float32 `[N, K / groupSize]`.
  package let scales: Tensor

  /// - Throws: for parts that do not fit together.
  package init(
    outputs: Int, inputs: Int, codes: Tensor, table: Tensor, groupSize: Int, scales: Tensor
  ) throws(StoreError) {
    guard groupSize > 0, inputs > 0, inputs % groupSize == 0 else {
      throw .groupSize(groupSize, inputs: inputs)
    }
    try StoreChecks.tensor(codes, "codes", [outputs, PackedCodes.wordCount(inputs, bits: 4)], [.int32])
    try StoreChecks.tensor(table, "table", [16], [.float32])
    try StoreChecks.tensor(scales, "scales", [outputs, inputs / groupSize], [.float32])
    self.outputs = outputs
    self.inputs = inputs
    self.codes = codes
    self.table = table
    self.groupSize = groupSize
    self.scales = scales
  }

  package var byteCount: Int { codes.byteCount + table.byteCount + scales.byteCount }

  /// Looks at every scale and table entry: host memory only.
  package func validateValues() throws(StoreError) {
    try StoreChecks.finite(table, "table")
    try StoreChecks.finite(scales, "scales")
  }

  /// One row of W.
  package func copyRow(_ row: Int, into target: UnsafeMutableBufferPointer<Float>) {
    let words = unsafe codes.view.address.assumingMemoryBound(to: UInt32.self)
    let groups = inputs / groupSize
    for column in 0..<inputs {
      let word = unsafe words[row * codes.shape[1] + column / 8]
      let code = Int(word >> UInt32(column % 8 * 4) & 15)
      unsafe target[column] =
        table.float(at: code) * scales.float(at: row * groups + column / groupSize)
    }
  }
}
