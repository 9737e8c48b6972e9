internal import Compute
internal import Generation
internal import Models
internal import Scheduling

/// One sequence computed step by step on a model, its cache blocks in an order without neighbours.
struct PagedSequence {
  let graph: ModelGraph
  private let cache: any KVCache
  private let blocks: [Int32]
  private(set) var tokens: [Int32] = []

  /// - Parameter capacity: tokens that the sequence may grow to.
  init(_ graph: ModelGraph, capacity: Int) throws(KernelError) {
    self.graph = graph
    let size = ModelLimits.blockSize
    blocks = CaseValues(seed: 7).permutation((capacity + size - 1) / size, 0)
    cache = try graph.makeKVCache(blockCount: max(1, blocks.count))
  }

  /// Computes new tokens and gives their logits, `[count, vocabulary]`.
  ///
  /// - Precondition: they fit the capacity, and the graph's limits.
  mutating func append(_ new: [Int32]) throws(KernelError) -> [Float] {
    var plan = StepPlan()
    plan.blockTableStride = blocks.count
    plan.blockTables = blocks
    plan.queryStarts = [0, Int32(new.count)]
    for (offset, token) in new.enumerated() {
      let position = tokens.count + offset
      plan.logitRows.append(Int32(offset))
      plan.tokens.append(token)
      plan.positions.append(Int32(position))
      let size = ModelLimits.blockSize
      plan.slots.append(blocks[position / size] * Int32(size) + Int32(position % size))
    }
    // As the scheduler has it: what comes alone behind a prompt was sampled.
    plan.decodeCount = new.count == 1 && !tokens.isEmpty ? 1 : 0
    tokens += new
    plan.contextLengths = [Int32(tokens.count)]
    try graph.run(plan, cache: cache)
    var rows: [Float] = []
    rows.reserveCapacity(new.count * graph.configuration.vocabularySize)
    for start in stride(from: 0, to: new.count, by: graph.maxLogitRows) {
      let view = try graph.logits(of: start..<min(start + graph.maxLogitRows, new.count))
      rows += try Bench.download(view, from: graph.backend)
    }
    return rows
  }
}
