internal import Numerics

/// A product of two thin matrices added to a weight (LoRC of ZeroQuant-V2, arXiv 2303.08302): `y += (x · Aᵀ) · Bᵀ`.
package struct LowRankCorrection {
  /// `[r, K]`.
  package let a: Tensor
  /// `[N, r]`.
  package let b: Tensor

  package init(a: Tensor, b: Tensor) {
    self.a = a
    self.b = b
  }

  package var rank: Int { a.shape[0] }
  package var byteCount: Int { a.byteCount + b.byteCount }

  func check(outputs: Int, inputs: Int) throws(StoreError) {
    let rank = a.shape.rank == 2 ? a.shape[0] : 0
    try StoreChecks.tensor(a, "A of the correction", [rank, inputs], StoreChecks.scaleTypes)
    try StoreChecks.tensor(b, "B of the correction", [outputs, rank], StoreChecks.scaleTypes)
  }
}
