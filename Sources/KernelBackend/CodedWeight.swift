internal import CKernels
internal import Compute
internal import Numerics

/// The parts of a store that kernels multiply as codes, on the host: a scale, and perhaps a zero, for each group of inputs
/// of each output; of 2:4 weights also which inputs have a code.
struct CodedWeight {
  var code: gpi_kernel_code
  var outputs: Int
  var inputs: Int
  var groupSize: Int
  /// Rows of codes, or of the elements that a 2:4 weight keeps, as `gpi_kernel_repack` reads them.
  var codes: Tensor
  /// Of 2:4 weights.
  var mask: Tensor?
  /// `[N, ceil(K / groupSize)]`; nil for elements.
  var scales: Tensor?
  var zeros: Tensor?
  /// Code `j` of a row belongs to input `order[j]`.
  var order: Tensor?
  var summary: String
  /// Of the activations; with the threshold of outliers, and a scale for all rows.
  var rounding = GPI_KERNEL_KEEP_ACTIVATIONS
  var outlierThreshold: Float = .infinity
  var activationScale: Float = 0

  /// Sorts act-order by group. nil for stores that `KernelBackend.widening(of:capability:)` has a reason for.
  init?(_ store: LinearWeight.Store, capability: Int) throws(StoreError) {
    guard KernelBackend.widening(of: store, capability: capability) == nil else { return nil }
    summary = store.summary
    switch store {
    case .dense, .codebook, .blocks, .spqr, .placed: return nil
    case .sparse(let weight):
      (outputs, inputs, mask) = (weight.outputs, weight.inputs, weight.mask)
      switch weight.values {
      case .floats(let kept): (code, groupSize, codes) = (GPI_KERNEL_ELEMENTS, inputs, kept)
      case .codes(let kept):
        code = kept.bits == 4 ? GPI_KERNEL_INT4 : GPI_KERNEL_INT8
        (groupSize, codes, scales) = (kept.groupSize, kept.words, kept.scales)
        if case .integers(let given) = kept.zero { zeros = given }
        round(kept.activations)
      }
    case .integer(let given):
      let weight = try given.sortedByGroup()
      code =
        switch weight.bits {
        case 2: GPI_KERNEL_INT2
        case 3: GPI_KERNEL_INT3
        case 4: GPI_KERNEL_INT4
        default: GPI_KERNEL_INT8
        }
      (outputs, inputs, groupSize) = (weight.outputs, weight.inputs, weight.groupSize)
      (codes, scales) = (weight.codes, weight.scales)
      if case .integers(let given) = weight.zero { zeros = given }
      if case .permuted(let given) = weight.order { order = given }
      round(weight.activations)
    case .float8(let weight):
      code = GPI_KERNEL_FLOAT8
      (outputs, inputs) = (weight.outputs, weight.inputs)
      groupSize = min(weight.blockColumns, weight.inputs)
      codes = weight.codes
      // Outputs that share a scale get one each.
      scales = weight.scales.gatheringRows((0..<weight.outputs).map { $0 / weight.blockRows })
      switch weight.activations {
      case nil, .group: break
      case .token: rounding = GPI_KERNEL_ROUND_TO_FLOAT8
      case .tensor(let scale): (rounding, activationScale) = (GPI_KERNEL_ROUND_TO_FLOAT8, scale)
      }
    }
  }

  private mutating func round(_ activations: IntegerActivations?) {
    switch activations {
    case nil: break
    case .token(let threshold):
      rounding = GPI_KERNEL_ROUND_TO_INT8
      outlierThreshold = threshold ?? .infinity
    case .tensor(let scale, _):
      rounding = GPI_KERNEL_ROUND_TO_INT8
      activationScale = scale
    }
  }
}
