internal import Numerics

/// E4M3 codes with a scale per tensor, output, group of inputs, or rectangular block (compressed-tensors
/// `float-quantized`): `W[n, k] = E4M3(code[n, k]) · scale[n / blockRows, k / blockColumns]`.
package struct Float8Weight {
  /// How the kernel rounds the activations it multiplies.
  package enum Activations: Sendable, Equatable {
    /// Each token to E4M3 after dividing by its own largest size / 448.
    case token
    /// Every activation to E4M3 after dividing by one scale, saturating.
    case tensor(scale: Float)
    /// Each run of `size` inputs of a token by its own largest size / 448.
    case group(size: Int)
  }

  package let outputs: Int
  package let inputs: Int
  /// float8E4M3 `[N, K]`.
  package let codes: Tensor
  /// float16, bfloat16 or float32 `[ceil(N / blockRows), ceil(K / blockColumns)]`.
  package let scales: Tensor
  /// Outputs and inputs that share a scale; blocks at the end may be smaller.
  package let blockRows: Int
  package let blockColumns: Int
  package let activations: Activations?

  /// - Throws: for parts that do not fit together.
  package init(
    outputs: Int, inputs: Int, codes: Tensor, scales: Tensor, blockRows: Int, blockColumns: Int,
    activations: Activations? = nil
  ) throws(StoreError) {
    guard blockColumns > 0, blockRows > 0, inputs > 0 else {
      throw .groupSize(Swift.min(blockColumns, blockRows), inputs: inputs)
    }
    if case .group(let size) = activations, size <= 0 || inputs % size != 0 {
      throw .groupSize(size, inputs: inputs)
    }
    try StoreChecks.tensor(codes, "codes", [outputs, inputs], [.float8E4M3])
    let rows = (outputs + blockRows - 1) / blockRows
    let columns = (inputs + blockColumns - 1) / blockColumns
    try StoreChecks.tensor(scales, "scales", [rows, columns], StoreChecks.scaleTypes)
    self.outputs = outputs
    self.inputs = inputs
    self.codes = codes
    self.scales = scales
    self.blockRows = blockRows
    self.blockColumns = blockColumns
    self.activations = activations
  }

  package var byteCount: Int { codes.byteCount + scales.byteCount }

  /// Looks at every scale and code: host memory only.
  package func validateValues() throws(StoreError) {
    try StoreChecks.finite(scales, "scales")
    let bytes = unsafe codes.view.address.assumingMemoryBound(to: UInt8.self)
    for index in 0..<codes.byteCount where unsafe bytes[index] & 0x7F == 0x7F {
      throw .notFinite(operand: "codes", index: index)
    }
  }

  /// One row of W.
  package func copyRow(_ row: Int, into target: UnsafeMutableBufferPointer<Float>) {
    let scaleRow = row / blockRows * scales.shape[1]
    for column in 0..<inputs {
      unsafe target[column] =
        codes.float(at: row * inputs + column) * scales.float(at: scaleRow + column / blockColumns)
    }
  }
}
