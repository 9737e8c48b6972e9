package import Compute
package import Models
package import Scheduling

/// What the engine needs of a model: rows of logits for a step. Lives on the engine's thread only.
package protocol EngineModel: AnyObject {
  var limits: EngineLimits { get }

  /// Computes the step: keys and values of its tokens go to their slots, logits of `plan.logitRows` come back
  /// on the host, in that order. Valid until the next call.
  /// - Throws: the step, and with it the engine, cannot go on.
  func forward(_ plan: borrowing StepPlan) throws(KernelError) -> LogitRows

  /// The states behind the final norm of some rows of the last step's tokens, in order; each row is asked for once, and
  /// after `forward` only.
  ///
  /// - Returns: `[rows.count, H]`; empty from a model that has none to give.
  func states(of rows: Range<Int>) throws(KernelError) -> [Float]

  /// Samples where the logits lie; nil where the host does, with what `forward` gives.
  var stepSampler: (any StepSampler)? { get }

  /// Places a LoRA adapter beside the weights, under a number that no other has had.
  func loadAdapter(path: String, id: Int32) throws(ModelError)
  func unloadAdapter(_ id: Int32)
  /// 0 is always there.
  func hasAdapter(_ id: Int32) -> Bool
}

extension EngineModel {
  package func states(of rows: Range<Int>) throws(KernelError) -> [Float] { [] }
  package var stepSampler: (any StepSampler)? { nil }
  package func loadAdapter(path: String, id: Int32) throws(ModelError) {
    throw .adapter(path: path, reason: "the model of this engine takes none")
  }
  package func unloadAdapter(_ id: Int32) {}
  package func hasAdapter(_ id: Int32) -> Bool { id == 0 }
}

/// Computes and samples steps on a device, without waiting for them. The reference is `forward` and `Sampler`.
///
/// ```
/// launch A, sample A ─ launch B, sample B ─ collect A ─ launch C …       at most two at once, collected in order
/// ```
/// A step that is launched behind another one may use its tokens (`StepPlan.tokenSources`).
package protocol StepSampler: AnyObject {
  var capacity: SamplingCapacity { get }

  /// Enqueues a step.
  ///
  /// - Parameter batch: what will be sampled of it, so that all that the device has to be told goes there at once.
  func launch(_ plan: borrowing StepPlan, sampling batch: SamplingBatch) throws(KernelError)

  /// Enqueues the sampling of rows of the step that was launched last: once a step, with an empty batch too.
  /// - Parameter batch: the one that was launched with the step; its masks may have been restricted since.
  func sample(_ batch: borrowing SamplingBatch) throws(KernelError)

  /// Waits for the oldest step that was launched and not collected.
  func collect(_ batch: borrowing SamplingBatch, into results: inout SamplingResults) throws(KernelError)

  /// Logits of some rows of the step that was launched last, for what the device does not sample; other rows hold
  /// anything. Valid until the next call.
  func logits(ofRows rows: [Int32]) throws(KernelError) -> LogitRows
}

/// What a model was built for.
package struct EngineLimits: Sendable, Equatable {
  package var vocabularySize: Int
  /// Prompt and output of one sequence, in tokens.
  package var maxModelLength: Int
  /// Blocks of 16 tokens in the key/value pool, of all groups of layers together.
  package var blockCount: Int
  package var maxBatchTokens: Int
  package var maxSequences: Int
  package var maxLogitRows: Int
  /// Where the model runs, for people: "cpu", "cuda:0 NVIDIA H100".
  package var device: String
  /// What keys and values are cached as, under the names of `--kv-cache-dtype`.
  package var cacheType = "auto"
  /// Which keys the queries of its layers see.
  package var groups: KVGroups

  package init(
    vocabularySize: Int, maxModelLength: Int, blockCount: Int, maxBatchTokens: Int, maxSequences: Int,
    maxLogitRows: Int, device: String, groups: KVGroups = .whole
  ) {
    self.groups = groups
    self.vocabularySize = vocabularySize
    self.maxModelLength = maxModelLength
    self.blockCount = blockCount
    self.maxBatchTokens = maxBatchTokens
    self.maxSequences = maxSequences
    self.maxLogitRows = maxLogitRows
    self.device = device
  }
}

extension EngineLimits {
  /// Most blocks that a sequence of `count` tokens holds at one time.
  func blocksAtOnce(for count: Int) -> Int {
    groups.blocksAtOnce(for: count, piece: maxBatchTokens)
  }
}

/// Float32 logits in host memory, `[count, vocabularySize]`; somebody else keeps them alive.
@safe
package struct LogitRows {
  package let count: Int
  package let vocabularySize: Int
  private let base: UnsafePointer<Float>
  private let rowStride: Int

  /// - Parameter rowStride: values from one row to the next.
  package init(_ base: UnsafePointer<Float>, count: Int, vocabularySize: Int, rowStride: Int? = nil) {
    unsafe self.base = base
    self.count = count
    self.vocabularySize = vocabularySize
    self.rowStride = rowStride ?? vocabularySize
  }

  @unsafe func row(_ index: Int) -> UnsafeBufferPointer<Float> {
    precondition(index >= 0 && index < count, "row \(index) of \(count) rows of logits")
    return unsafe UnsafeBufferPointer(start: base + index * rowStride, count: vocabularySize)
  }
}
