internal import Numerics

/// The weight of `y = x · Wᵀ + b`, in whatever form it is stored; callers never see which.
///
/// One canonical store per weight format: a new format is a new case here, a reader in `Checkpoints` and a
/// branch inside each backend's `linear`, and changes no model.
package struct LinearWeight {
  package enum Store {
    /// Row-major `[outputs, inputs]`, float32, float16 or bfloat16.
    case dense(Tensor)
    /// Codes of 2, 3, 4 or 8 bits with scales: RTN, GPTQ, AWQ, OWQ, LLM.int8, W8A8.
    case integer(IntegerWeight)
    case float8(Float8Weight)
    case codebook(CodebookWeight)
    /// GGUF blocks.
    case blocks(BlockWeight)
    case spqr(SpQRWeight)
    /// In a layout of one backend's own, which placed it and alone can read it.
    case placed(any PlacedWeight)
    /// Pruned: a bit mask and the weights that are left, in floating point or as codes.
    case sparse(SparseWeight)
  }

  package let store: Store
  /// float32 `[outputs]`, added to every row.
  package let bias: Tensor?
  package let correction: LowRankCorrection?
  package let outputs: Int
  package let inputs: Int

  package init(dense weight: Tensor, bias: Tensor? = nil) {
    precondition(weight.shape.rank == 2, "a dense weight has two dimensions")
    store = .dense(weight)
    self.bias = bias
    correction = nil
    outputs = weight.shape[0]
    inputs = weight.shape[1]
  }

  /// - Throws: for a bias or correction of another size.
  package init(
    _ store: Store, bias: Tensor? = nil, correction: LowRankCorrection? = nil
  ) throws(StoreError) {
    if let bias { try StoreChecks.tensor(bias, "bias", [store.outputs], StoreChecks.scaleTypes) }
    try correction?.check(outputs: store.outputs, inputs: store.inputs)
    self.store = store
    self.bias = bias
    self.correction = correction
    outputs = store.outputs
    inputs = store.inputs
  }

  /// Weight, bias and correction.
  package var byteCount: Int {
    store.byteCount + (bias?.byteCount ?? 0) + (correction?.byteCount ?? 0)
  }
}

extension LinearWeight.Store {
  package var outputs: Int {
    switch self {
    case .dense(let weight): weight.shape[0]
    case .integer(let weight): weight.outputs
    case .float8(let weight): weight.outputs
    case .codebook(let weight): weight.outputs
    case .blocks(let weight): weight.outputs
    case .spqr(let weight): weight.outputs
    case .placed(let weight): weight.outputs
    case .sparse(let weight): weight.outputs
    }
  }

  package var inputs: Int {
    switch self {
    case .dense(let weight): weight.shape[1]
    case .integer(let weight): weight.inputs
    case .float8(let weight): weight.inputs
    case .codebook(let weight): weight.inputs
    case .blocks(let weight): weight.inputs
    case .spqr(let weight): weight.inputs
    case .placed(let weight): weight.inputs
    case .sparse(let weight): weight.inputs
    }
  }

  /// Bytes of all parts.
  package var byteCount: Int {
    switch self {
    case .dense(let weight): weight.byteCount
    case .integer(let weight): weight.byteCount
    case .float8(let weight): weight.byteCount
    case .codebook(let weight): weight.byteCount
    case .blocks(let weight): weight.byteCount
    case .spqr(let weight): weight.byteCount
    case .placed(let weight): weight.byteCount
    case .sparse(let weight): weight.byteCount
    }
  }

  /// The activations it multiplies are rounded first.
  package var roundsActivations: Bool {
    switch self {
    case .integer(let weight): weight.activations != nil
    case .float8(let weight): weight.activations != nil
    case .sparse(let weight):
      if case .codes(let codes) = weight.values { codes.activations != nil } else { false }
    case .dense, .codebook, .blocks, .spqr, .placed: false
    }
  }

  /// Bits for each element of W, scales and all else included.
  package var averageBits: Double {
    Double(byteCount) * 8 / Double(Swift.max(outputs * inputs, 1))
  }

  /// What the store is, for messages: "int4 in groups of 128", "Q4_K blocks".
  package var summary: String {
    switch self {
    case .dense(let weight): return weight.dataType.rawValue
    case .integer(let weight):
      let groups = weight.groupSize == weight.inputs ? "by output" : "in groups of \(weight.groupSize)"
      return "int\(weight.bits) \(groups)"
    case .float8: return "float8 E4M3"
    case .codebook: return "4-bit codebook"
    case .blocks(let weight): return "\(weight.type.name) blocks"
    case .spqr(let weight): return "SpQR of \(weight.bits) bits"
    case .placed(let weight): return weight.summary
    case .sparse(let weight): return weight.summary
    }
  }

  /// One row of W as float32: the reference every kernel is held to. Host memory only.
  ///
  /// - Precondition: `target` holds `inputs` elements.
  package func copyRow(_ row: Int, into target: UnsafeMutableBufferPointer<Float>) {
    precondition(target.count >= inputs && row >= 0 && row < outputs, "a row outside the weight")
    switch self {
    case .dense(let weight):
      unsafe weight.copyFloats(
        from: row * inputs, into: UnsafeMutableBufferPointer(rebasing: target[0..<inputs]))
    case .integer(let weight): unsafe weight.copyRow(row, into: target)
    case .float8(let weight): unsafe weight.copyRow(row, into: target)
    case .codebook(let weight): unsafe weight.copyRow(row, into: target)
    case .blocks(let weight): unsafe weight.copyRow(row, into: target)
    case .spqr(let weight): unsafe weight.copyRow(row, into: target)
    case .placed(let weight): preconditionFailure("\(weight.summary): its rows lie on a device")
    case .sparse(let weight): unsafe weight.copyRow(row, into: target)
    }
  }

  /// All of W, `[outputs, inputs]`.
  package func dequantized() -> [Float] {
    unsafe [Float](unsafeUninitializedCapacity: outputs * inputs) { buffer, count in
      for row in 0..<outputs {
        unsafe copyRow(
          row, into: UnsafeMutableBufferPointer(rebasing: buffer[row * inputs..<(row + 1) * inputs]))
      }
      count = outputs * inputs
    }
  }

  /// Looks at every scale: NaN and infinity, and zeros that are no codes. Host memory only.
  package func validateValues() throws(StoreError) {
    switch self {
    case .dense, .blocks, .placed: break
    case .integer(let weight): try weight.validateValues()
    case .float8(let weight): try weight.validateValues()
    case .codebook(let weight): try weight.validateValues()
    case .spqr(let weight): try weight.validateValues()
    case .sparse(let weight): try weight.validateValues()
    }
  }
}
