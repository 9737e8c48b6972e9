internal import CKernels
package import Compute

/// Rows that a norm or an activation leaves rounded as well, because the products that read them say that they would
/// round them alike: once for query, key and value instead of three times, and in the pass that writes them.
extension KernelBackend {
  package func expect(readers: [LinearWeight]) { expectedReaders = readers }

  /// Whether the last norm or activation rounded its rows.
  package var hasRoundedRows: Bool { rounded != nil }

  /// How, and which rows.
  struct RoundedRows {
    let address: UInt
    let rows: Int
    let format: gpi_kernel_weight_format
  }

  /// Where the rows of an output go as codes, for the readers that were announced; nowhere, if they don't agree or the
  /// rows are too many for the memory that is kept for this.
  func takeRounding(of output: TensorView) -> (target: gpi_kernel_rounded_rows, rounded: RoundedRows?) {
    let readers = expectedReaders
    expectedReaders = []
    let nowhere = unsafe gpi_kernel_rounded_rows()
    guard output.rows > 0, output.rows <= Self.piece, let storage = roundedStorage,
      let format = readers.first?.packed?.format, format.rounding != GPI_KERNEL_KEEP_ACTIVATIONS,
      Int(format.inputs) == output.columns
    else { return unsafe (nowhere, nil) }
    for reader in readers {
      guard let packed = reader.packed, packed.order == nil, packed.format.rounds(like: format) else {
        return unsafe (nowhere, nil)
      }
    }
    let target = unsafe gpi_kernel_rounded_rows(
      rounding: format.rounding, outlier_threshold: format.outlier_threshold,
      activation_scale: format.activation_scale, rows: storage.address)
    return unsafe (
      target,
      RoundedRows(address: UInt(bitPattern: output.address), rows: output.rows, format: format)
    )
  }

  /// The rounded rows of a product's input; nil where it has to round them itself.
  @unsafe func roundedRows(of input: TensorView, for weight: PackedWeight) -> UnsafeRawPointer? {
    guard let rounded, UInt(bitPattern: unsafe input.address) == rounded.address, input.rows == rounded.rows,
      input.rowStride == input.columns || input.rows == 1, weight.order == nil,
      weight.format.rounds(like: rounded.format)
    else { return nil }
    return unsafe roundedStorage.map { unsafe UnsafeRawPointer($0.address) }
  }
}

extension LinearWeight {
  fileprivate var packed: PackedWeight? {
    if case .placed(let placed) = store { placed as? PackedWeight } else { nil }
  }
}

extension gpi_kernel_weight_format {
  fileprivate func rounds(like other: gpi_kernel_weight_format) -> Bool {
    inputs == other.inputs && rounding == other.rounding && outlier_threshold == other.outlier_threshold
      && activation_scale == other.activation_scale
  }
}
