internal import Compute
package import Models
internal import Glibc
internal import Scheduling

/// How surprised a model is by a text that it reads as one stream, each token after all those its attention still sees.
///
/// The stream goes through the scheduler in pieces, as a prompt does in the engine, so that blocks outside windows and
/// sinks return to the pool: memory is flat where the model's queries do not see everything.
package struct StreamPerplexity: Sendable, Equatable {
  /// Mean negative log-likelihood of all tokens but the first, in nats.
  package var meanNegativeLogLikelihood: Double
  package var scoredTokens: Int
  /// The means of ten equal parts of the stream, in order.
  package var partMeans: [Double]
  /// Most key/value blocks that were held at one time.
  package var blocksAtOnce: Int

  package var perplexity: Double { exp(meanNegativeLogLikelihood) }

  /// - Parameters:
  ///   - tokens: at least two, and not more than the graph's longest sequence.
  ///   - progress: told the tokens read; returning false stops, and the result covers what was read.
  package static func measure(
    _ tokens: [Int32], with graph: ModelGraph, progress: (Int) -> Bool = { _ in true }
  ) throws -> StreamPerplexity? {
    let limits = graph.limits
    let groups = graph.cacheGroups.groups
    let blocks = groups.blocksAtOnce(for: tokens.count, piece: limits.maxBatchTokens)
    var configuration = SchedulerConfiguration(
      blockCount: blocks, maxModelLength: max(tokens.count, 1), hashKey: BlockHashKey(low: 0, high: 0))
    configuration.maxNumBatchedTokens = limits.maxBatchTokens
    configuration.maxNumSeqs = 1
    configuration.maxLogitRows = graph.maxLogitRows
    configuration.watermarkBlocks = 0
    configuration.enablePrefixCaching = false
    configuration.groups = groups
    var scheduler = try Scheduler(configuration)
    var request = SchedulerRequest(prompt: tokens, maxNewTokens: 0)
    request.wantsPromptLogits = true
    _ = try scheduler.add(request)
    let cache = try graph.makeKVCache(blockCount: blocks, groupsLayers: true)

    let vocabularySize = graph.configuration.vocabularySize
    var rows = [Float](repeating: 0, count: graph.maxLogitRows * vocabularySize)
    var likelihoods: [Double] = []
    likelihoods.reserveCapacity(tokens.count)
    var (plan, outcomes) = (StepPlan(), [CommitOutcome]())
    var held = 0
    while scheduler.next(into: &plan) {
      let view = try graph.forward(plan, cache: cache)
      let count = plan.logitRows.count * vocabularySize
      try unsafe rows.withUnsafeMutableBufferPointer { (rows) throws(KernelError) in
        let target = unsafe UnsafeMutableBufferPointer(rebasing: rows[..<count])
        try unsafe graph.backend.download(view, to: UnsafeMutableRawBufferPointer(target))
      }
      for (row, place) in plan.logitRows.enumerated() {
        let target = Int(plan.positions[Int(place)]) + 1
        let logits = rows.span.extracting(row * vocabularySize..<(row + 1) * vocabularySize)
        likelihoods.append(Perplexity.negativeLogLikelihood(of: tokens[target], in: logits))
      }
      held = max(held, scheduler.statistics.usedBlocks)
      scheduler.commit(plan, sampled: [SampledToken(token: -1)], outcomes: &outcomes)
      if !progress(likelihoods.count) { break }
    }
    guard !likelihoods.isEmpty else { return nil }
    let parts = min(10, likelihoods.count)
    return StreamPerplexity(
      meanNegativeLogLikelihood: likelihoods.reduce(0, +) / Double(likelihoods.count),
      scoredTokens: likelihoods.count,
      partMeans: (0..<parts).map { part in
        let range = likelihoods.count * part / parts..<likelihoods.count * (part + 1) / parts
        return likelihoods[range].reduce(0, +) / Double(range.count)
      }, blocksAtOnce: held)
  }
}
