package import Checkpoints
package import Compute
package import Models
package import Scheduling

/// A decoder with its key/value pool on one backend, as the engine runs it.
@safe
package final class GraphModel: EngineModel {
  package private(set) var limits: EngineLimits
  package let graph: ModelGraph
  package let cache: any KVCache
  /// Where logits are copied to from a device whose memory the host cannot read; empty otherwise.
  private let staging: UnsafeMutableBufferPointer<Float>

  /// Binds the weights and reserves workspace and pool; nothing is reserved later.
  package init(
    checkpoint: Checkpoint, backend: any Backend, limits: ModelLimits, blockCount: Int
  ) throws(ModelError) {
    graph = try ModelGraph(checkpoint: checkpoint, backend: backend, limits: limits)
    do { cache = try graph.makeKVCache(blockCount: blockCount) } catch { throw .kernel(error) }
    let vocabularySize = graph.configuration.vocabularySize
    self.limits = EngineLimits(
      vocabularySize: vocabularySize, maxModelLength: limits.maxModelLength, blockCount: blockCount,
      maxBatchTokens: limits.maxBatchTokens, maxSequences: limits.maxSequences,
      maxLogitRows: graph.maxLogitRows, device: backend.name,
      retention: ModelGraph.retention(graph.configuration, limits))
    self.limits.cacheType = cache.geometry.dataType.cacheName
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

  package func loadAdapter(path: String, id: Int32) throws(ModelError) {
    try graph.loadAdapter(path: path, id: id)
  }

  package func unloadAdapter(_ id: Int32) { graph.unloadAdapter(id) }

  package func hasAdapter(_ id: Int32) -> Bool { graph.hasAdapter(id) }
}
