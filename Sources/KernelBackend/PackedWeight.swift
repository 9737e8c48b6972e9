internal import CKernels
internal import Compute

/// Codes, scales and zeros of a quantised weight as the kernels read them.
final class PackedWeight: PlacedWeight {
  let format: gpi_kernel_weight_format
  let storage: Storage
  /// int32 `[inputs]`: code `j` of a row belongs to input `order[j]`; nil where they lie in order.
  let order: Tensor?
  let summary: String

  init(_ format: gpi_kernel_weight_format, _ storage: Storage, order: Tensor?, summary: String) {
    self.format = format
    self.storage = storage
    self.order = order
    self.summary = summary
  }

  var outputs: Int { Int(format.outputs) }
  var inputs: Int { Int(format.inputs) }
  /// Whether a product needs a copy of its rows: in another order, or rounded.
  var copiesInput: Bool { order != nil || format.rounding != GPI_KERNEL_KEEP_ACTIVATIONS }
  var byteCount: Int { storage.byteCount + (order?.byteCount ?? 0) }
}
