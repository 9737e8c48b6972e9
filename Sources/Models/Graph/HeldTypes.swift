package import Compute
package import Numerics

/// What a backend holds weights as once they are placed, as far as planning memory goes.
package struct HeldTypes: Sendable {
  /// What plain matrices are turned into; nil where they stay as stored.
  package var matrices: DataType?
  /// What the plain matrices of the layers are rounded to first.
  package var quantization: LoadQuantization?
  /// What a quantised or sparse weight is widened to when it is placed; nil where it is multiplied as it is stored.
  package var widened: @Sendable (LinearWeight.Store) -> DataType?

  package init(
    matrices: DataType? = nil, quantization: LoadQuantization? = nil,
    widened: @escaping @Sendable (LinearWeight.Store) -> DataType? = { _ in nil }
  ) {
    self.matrices = matrices
    self.quantization = quantization
    self.widened = widened
  }

  package static let asStored = HeldTypes()
}
