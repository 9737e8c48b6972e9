/// The most that attention will be asked for, known when a model is bound: what a backend reserves scratch memory for.
package struct AttentionDemand: Sendable, Equatable {
  /// Query rows of decodes in one step.
  package var maxRows: Int
  package var queryHeads: Int
  package var headDimension: Int
  /// Keys of one sequence.
  package var maxContextLength: Int

  package init(maxRows: Int, queryHeads: Int, headDimension: Int, maxContextLength: Int) {
    self.maxRows = maxRows
    self.queryHeads = queryHeads
    self.headDimension = headDimension
    self.maxContextLength = maxContextLength
  }

  /// Keys in the parts that a decode's context is cut into; a multiple of 64.
  package static let smallestSplit = 256

  /// At most 32 parts, so that scratch memory does not grow with the model's length; the same for every step, so that a
  /// sequence's parts never depend on its neighbours.
  package var splitKeys: Int {
    let even = (maxContextLength - 1) / 32 + 1
    return max(Self.smallestSplit, (even + 63) / 64 * 64)
  }

  /// float32 outputs and sums of all parts; 0 where no context is cut.
  package var scratchBytes: Int {
    let parts = (maxContextLength - 1) / splitKeys + 1
    return parts <= 1 ? 0 : maxRows * queryHeads * parts * (headDimension + 1) * 4
  }
}
