/// A backend that draws tokens where the logits lie, by the scheme that `Sampler` (Generation) defines: the same token
/// for equal logits, settings, seed and position. Log-probabilities may differ by what their sum is rounded to.
package protocol SamplingBackend: Backend {
  /// Reserves memory for the sampling of steps within `capacity`; a step then allocates nothing.
  ///
  /// - Parameter block: what settings are sent in; its last `capacity.inputBytes` are the sampler's. Nil makes one for it.
  func makeTokenSampler(
    _ capacity: SamplingCapacity, in block: (any StepBlock)?
  ) throws(KernelError) -> any TokenSampler

  /// `tokens[i] = sampled[sources[i]]`, where a source of −1 leaves the token. All int32; sources and tokens `[n]`.
  func feed(_ sampled: TensorView, sources: TensorView, into tokens: TensorView) throws(KernelError)
}

extension SamplingBackend {
  package func makeTokenSampler(_ capacity: SamplingCapacity) throws(KernelError) -> any TokenSampler {
    try makeTokenSampler(capacity, in: nil)
  }
}

/// Samples the rows of one step after another. At most two may be under way: one whose results are still to be
/// collected while the next is enqueued behind it.
package protocol TokenSampler: AnyObject {
  var capacity: SamplingCapacity { get }
  /// int32 `[capacity.rows]` on the device: the tokens of the batch that was enqueued last, by row of logits. Those of
  /// rows that failed are some token of the vocabulary.
  var tokens: TensorView { get }

  /// Writes the settings of the batch that is enqueued next beside what else its step sends; all but the masks, which may
  /// still be restricted.
  ///
  /// - Parameters:
  ///   - host: what the block gave when it was opened; whoever did that sends it.
  ///   - offset: where they may begin, in the block.
  /// - Returns: where they end.
  func write(
    _ batch: borrowing SamplingBatch, to host: UnsafeMutableRawPointer, from offset: Int
  ) -> Int

  /// Enqueues a batch, which may be empty, over float32 logits `[any, vocabularySize]` on the device, and the copy of its
  /// results to the host. Settings that were not written with the step are sent first, in a copy of their own; masks never
  /// are: the device reads them in the host's memory.
  /// - Parameter inputs: int32, the tokens of the step; nil where no row has a fresh one.
  func enqueue(
    _ batch: borrowing SamplingBatch, logits: TensorView, inputs: TensorView?
  ) throws(KernelError)

  /// Waits for the oldest batch that was enqueued and not collected, and reads its results.
  /// - Parameter batch: the one that was enqueued.
  func collect(_ batch: borrowing SamplingBatch, into results: inout SamplingResults) throws(KernelError)
}
