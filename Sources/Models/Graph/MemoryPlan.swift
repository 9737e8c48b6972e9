/// What a model needs on its device, known from names, shapes and limits alone, before anything is reserved.
package struct MemoryPlan: Sendable, Equatable {
  /// All weights the model reads. On the CPU most of these are pages of the mapped file.
  package var weightBytes: Int
  /// Activations, logits, step indices and position tables.
  package var workspaceBytes: Int
  /// Keys and values of one block over the layers that share it (`CacheGroups`).
  package var bytesPerBlock: Int
  /// Tokens in a block.
  package var blockSize: Int

  /// Blocks that fit into `bytes` beside weights and workspace; 0 where not even these fit.
  package func blockCount(fittingIn bytes: Int) -> Int {
    Swift.max(0, (bytes - weightBytes - workspaceBytes) / Swift.max(bytesPerBlock, 1))
  }

  /// Bytes lacking of `available` for weights, workspace and `blocks` blocks; nil when all fit.
  package func missingBytes(available: Int, blocks: Int) -> Int? {
    let (cache, overflow) = blocks.multipliedReportingOverflow(by: bytesPerBlock)
    guard !overflow else { return Int.max }
    let (needed, sumOverflow) = cache.addingReportingOverflow(weightBytes + workspaceBytes)
    guard !sumOverflow else { return Int.max }
    return needed > available ? needed - available : nil
  }
}
