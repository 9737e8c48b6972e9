package import Checkpoints
package import Compute
package import Models
internal import Numerics
package import Scheduling

/// A decoder with its key/value pool on one backend, as the engine runs it.
@safe
package final class GraphModel: EngineModel {
  package private(set) var limits: EngineLimits
  package let graph: ModelGraph
  package let cache: any KVCache
  /// Where logits are copied to from a device whose memory the host cannot read; empty otherwise.
  private let staging: UnsafeMutableBufferPointer<Float>
  private let tokenSampler: (any TokenSampler)?
  /// Of the step that was launched last.
  private var logits: TensorView?

  /// Binds the weights and reserves workspace and pool; nothing is reserved later.
  package init(
    checkpoint: Checkpoint, backend: any Backend, limits: ModelLimits, blockCount: Int
  ) throws(ModelError) {
    graph = try ModelGraph(checkpoint: checkpoint, backend: backend, limits: limits)
    do { cache = try graph.makeKVCache(blockCount: blockCount, groupsLayers: true) } catch {
      throw .kernel(error)
    }
    let vocabularySize = graph.configuration.vocabularySize
    self.limits = EngineLimits(
      vocabularySize: vocabularySize, maxModelLength: limits.maxModelLength, blockCount: blockCount,
      maxBatchTokens: limits.maxBatchTokens, maxSequences: limits.maxSequences,
      maxLogitRows: graph.maxLogitRows, device: backend.name,
      groups: graph.cacheGroups.groups)
    self.limits.cacheType = cache.geometry.dataType.cacheName
    let capacity = limits.samplingCapacity(graph.configuration)
    if limits.samples, vocabularySize < SamplingCapacity.vocabularyLimit,
      let sampling = backend as? any SamplingBackend
    {
      let sampler: any TokenSampler
      do { sampler = try sampling.makeTokenSampler(capacity, in: graph.stepBlock) } catch {
        throw .kernel(error)
      }
      tokenSampler = sampler
      graph.sampler = sampler
      graph.sampledTokens = ModelGraph.SampledTokens(sampling, sampler.tokens)
    } else {
      tokenSampler = nil
    }
    let count = backend.sharesHostMemory ? 0 : graph.maxLogitRows * vocabularySize
    unsafe staging = .allocate(capacity: count)
  }

  deinit { unsafe staging.deallocate() }

  package func forward(_ plan: borrowing StepPlan) throws(KernelError) -> LogitRows {
    let view = try graph.forward(copy plan, cache: cache)
    let rows = plan.logitRows.count
    let vocabularySize = limits.vocabularySize
    if unsafe staging.isEmpty {
      try graph.backend.synchronize()
      let base = unsafe UnsafePointer(view.address.assumingMemoryBound(to: Float.self))
      return unsafe LogitRows(base, count: rows, vocabularySize: vocabularySize, rowStride: view.rowStride)
    }
    let target = unsafe UnsafeMutableBufferPointer(rebasing: staging[..<(rows * vocabularySize)])
    try unsafe graph.backend.download(view, to: UnsafeMutableRawBufferPointer(target))
    guard let base = unsafe staging.baseAddress else {
      throw .unsupported(operation: "forward", reason: "logits have nowhere to go")
    }
    return unsafe LogitRows(UnsafePointer(base), count: rows, vocabularySize: vocabularySize)
  }

  package func states(of rows: Range<Int>) throws(KernelError) -> [Float] {
    let view = try graph.states(of: rows)
    let size = view.dataType.byteCount
    var bytes = [UInt8](repeating: 0, count: view.rows * view.columns * size)
    try unsafe bytes.withUnsafeMutableBufferPointer { (target) throws(KernelError) in
      try unsafe graph.backend.download(view, to: UnsafeMutableRawBufferPointer(target))
    }
    return unsafe bytes.withUnsafeBytes { source in
      (0..<source.count / size).map { index in
        switch view.dataType {
        case .float16:
          unsafe Float(float16Bits: source.loadUnaligned(fromByteOffset: index * size, as: UInt16.self))
        case .bfloat16:
          unsafe Float(bfloat16Bits: source.loadUnaligned(fromByteOffset: index * size, as: UInt16.self))
        default: unsafe source.loadUnaligned(fromByteOffset: index * size, as: Float.self)
        }
      }
    }
  }

  package var stepSampler: (any StepSampler)? { tokenSampler == nil ? nil : self }

  package func loadAdapter(path: String, id: Int32) throws(ModelError) {
    try graph.loadAdapter(path: path, id: id)
  }

  package func unloadAdapter(_ id: Int32) { graph.unloadAdapter(id) }

  package func hasAdapter(_ id: Int32) -> Bool { graph.hasAdapter(id) }
}

extension GraphModel: StepSampler {
  package var capacity: SamplingCapacity {
    tokenSampler?.capacity
      ?? SamplingCapacity(vocabularySize: 0, rows: 0, edits: 0, seenTokens: 0, masks: 0, alternatives: 0)
  }

  package func launch(_ plan: borrowing StepPlan, sampling batch: SamplingBatch) throws(KernelError) {
    logits = try graph.forward(copy plan, cache: cache, sampling: batch)
  }

  package func sample(_ batch: borrowing SamplingBatch) throws(KernelError) {
    guard let tokenSampler, let logits else { throw Self.samplesNot }
    try tokenSampler.enqueue(batch, logits: logits, inputs: graph.inputTokens)
  }

  package func collect(
    _ batch: borrowing SamplingBatch, into results: inout SamplingResults
  ) throws(KernelError) {
    guard let tokenSampler else { throw Self.samplesNot }
    try tokenSampler.collect(batch, into: &results)
  }

  package func logits(ofRows rows: [Int32]) throws(KernelError) -> LogitRows {
    guard let logits, let base = unsafe staging.baseAddress else { throw Self.samplesNot }
    let vocabularySize = limits.vocabularySize
    var index = 0
    while index < rows.count {
      let first = Int(rows[index])
      var end = first + 1
      index += 1
      // Neighbours, such as the rows of one prompt, come in one copy.
      while index < rows.count, Int(rows[index]) == end {
        end += 1
        index += 1
      }
      let target = unsafe UnsafeMutableBufferPointer(
        rebasing: staging[first * vocabularySize..<end * vocabularySize])
      try unsafe graph.backend.download(logits.rows(first..<end), to: UnsafeMutableRawBufferPointer(target))
    }
    return unsafe LogitRows(UnsafePointer(base), count: logits.rows, vocabularySize: vocabularySize)
  }

  private static var samplesNot: KernelError {
    .unsupported(operation: "sample", reason: "this backend leaves sampling to the host")
  }
}
