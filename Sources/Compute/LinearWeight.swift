internal import Numerics

/// The weight of `y = x · Wᵀ + b`, in whatever form it is stored; callers never see which.
///
/// One canonical store per weight format: a new format is a new case here, a reader in `Checkpoints` and a
/// branch inside each backend's `linear`, and changes no model.
package struct LinearWeight {
  package enum Store {
    /// Row-major `[outputs, inputs]`, float32, float16 or bfloat16.
    case dense(Tensor)
  }

  package let store: Store
  /// float32 `[outputs]`, added to every row.
  package let bias: Tensor?
  package let outputs: Int
  package let inputs: Int

  package init(dense weight: Tensor, bias: Tensor? = nil) {
    precondition(weight.shape.rank == 2, "a dense weight has two dimensions")
    store = .dense(weight)
    self.bias = bias
    outputs = weight.shape[0]
    inputs = weight.shape[1]
  }
}
