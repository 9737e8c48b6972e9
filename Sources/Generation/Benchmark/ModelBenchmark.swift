package import Compute
package import Models
internal import Scheduling

/// Times a model's forward pass alone: a prompt in one step, then single-token steps of a batch.
package struct ModelBenchmark {
  private let graph: ModelGraph
  private let cache: any KVCache
  private let blocksPerSequence: Int
  private let batch: Int

  package struct Result: Sendable, Equatable {
    /// Tokens a second, best and median of the repetitions.
    package var best: Double
    package var median: Double
  }

  /// - Parameter longest: tokens of each sequence, prompt and decoded ones together.
  package init(graph: ModelGraph, batch: Int, longest: Int) throws(KernelError) {
    self.graph = graph
    self.batch = batch
    blocksPerSequence = (longest + ModelLimits.blockSize - 1) / ModelLimits.blockSize
    cache = try graph.makeKVCache(blockCount: blocksPerSequence * batch)
  }

  /// One prompt of `tokens` tokens from an empty cache, computed in one step.
  package func prefill(tokens: Int, repetitions: Int) throws(KernelError) -> Result {
    try measure(repetitions, tokens: tokens) { () throws(KernelError) in
      try step(firstPosition: 0, count: tokens, sequences: 1)
    }
  }

  /// `steps` steps of one token a sequence, behind `context` tokens.
  package func decode(context: Int, steps: Int, repetitions: Int) throws(KernelError) -> Result {
    try measure(repetitions, tokens: steps * batch) { () throws(KernelError) in
      for position in context..<context + steps {
        try step(firstPosition: position, count: 1, sequences: batch)
      }
    }
  }

  private func measure(
    _ repetitions: Int, tokens: Int, _ body: () throws(KernelError) -> Void
  ) throws(KernelError) -> Result {
    try body()  // Touches every weight and the cache once.
    var rates: [Double] = []
    for _ in 0..<max(repetitions, 1) {
      let started = ContinuousClock.now
      try body()
      rates.append(Double(tokens) / (started.duration(to: .now) / .seconds(1)))
    }
    rates.sort()
    return Result(best: rates[rates.count - 1], median: rates[rates.count / 2])
  }

  private func step(firstPosition: Int, count: Int, sequences: Int) throws(KernelError) {
    var plan = StepPlan()
    plan.blockTableStride = blocksPerSequence
    plan.decodeCount = count == 1 ? sequences : 0
    plan.queryStarts.append(0)
    for sequence in 0..<sequences {
      let firstBlock = sequence * blocksPerSequence
      for position in firstPosition..<firstPosition + count {
        // Different tokens, so that embedding rows are not all in the cache.
        plan.tokens.append(
          Int32((position &* 7919 &+ sequence &* 104_729) % graph.configuration.vocabularySize))
        plan.positions.append(Int32(position))
        plan.slots.append(Int32(firstBlock * ModelLimits.blockSize + position))
      }
      plan.queryStarts.append(Int32(plan.tokens.count))
      plan.contextLengths.append(Int32(firstPosition + count))
      plan.logitRows.append(Int32(plan.tokens.count - 1))
      for block in 0..<blocksPerSequence { plan.blockTables.append(Int32(firstBlock + block)) }
    }
    _ = try graph.forward(plan, cache: cache)
    try graph.backend.synchronize()
  }
}
