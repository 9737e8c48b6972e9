package import Compute
package import Models
internal import Scheduling

/// Computes the logits of whole token windows, straight on the model: no engine, no sampling, no prefix cache.
///
/// Each window is a sequence of its own from position 0. As many as fit go through the model in one step; which
/// share a step changes no bit of the result.
package final class WindowScorer {
  private let graph: ModelGraph
  private let cache: any KVCache
  private let blocksPerWindow: Int
  private let windowsPerStep: Int
  private var rows: [Float]
  private var plan = StepPlan()

  /// - Parameter longestWindow: in tokens; the cache is reserved for it.
  package init(graph: ModelGraph, longestWindow: Int) throws(ModelError) {
    let limits = graph.limits
    let longest = min(limits.maxModelLength, limits.maxBatchTokens)
    guard longestWindow >= 1, longestWindow <= longest else {
      throw .limit(name: "the window", found: longestWindow, allowed: "from 1 to \(longest) tokens")
    }
    self.graph = graph
    blocksPerWindow = (longestWindow + ModelLimits.blockSize - 1) / ModelLimits.blockSize
    windowsPerStep = max(1, min(limits.maxSequences, limits.maxBatchTokens / longestWindow))
    do throws(KernelError) {
      cache = try graph.makeKVCache(blockCount: blocksPerWindow * windowsPerStep)
    } catch { throw .kernel(error) }
    rows = Array(repeating: 0, count: graph.maxLogitRows * graph.configuration.vocabularySize)
  }

  /// Windows that one call of `logits` may be given.
  package var capacity: Int { windowsPerStep }

  package var vocabularySize: Int { graph.configuration.vocabularySize }

  /// Calls `body` with each window's number, each position in order, and that position's logits, which may not
  /// outlive the call.
  ///
  /// - Precondition: at most `capacity` windows, none longer than the longest one announced.
  package func logits(
    of windows: some Collection<some Collection<Int32>>,
    _ body: (_ window: Int, _ position: Int, _ logits: Span<Float>) -> Void
  ) throws(KernelError) {
    precondition(windows.count <= windowsPerStep, "too many windows for one step")
    fill(windows)
    guard !plan.tokens.isEmpty else { return }
    try graph.run(plan, cache: cache)
    var places: [(window: Int, position: Int)] = []
    places.reserveCapacity(plan.tokens.count)
    for (window, tokens) in windows.enumerated() {
      for position in 0..<tokens.count { places.append((window, position)) }
    }
    var start = 0
    while start < places.count {
      let end = min(start + graph.maxLogitRows, places.count)
      let view = try graph.logits(of: start..<end)
      let count = (end - start) * vocabularySize
      try unsafe rows.withUnsafeMutableBufferPointer { rows throws(KernelError) in
        let target = unsafe UnsafeMutableBufferPointer(rebasing: rows[0..<count])
        try unsafe graph.backend.download(view, to: UnsafeMutableRawBufferPointer(target))
      }
      let logits = rows.span
      for row in start..<end {
        let first = (row - start) * vocabularySize
        let place = places[row]
        let own = logits.extracting(first..<first + vocabularySize)
        body(place.window, place.position, own)
      }
      start = end
    }
  }

  private func fill(_ windows: some Collection<some Collection<Int32>>) {
    plan.removeAll()
    plan.blockTableStride = blocksPerWindow
    plan.queryStarts.append(0)
    for (window, tokens) in windows.enumerated() where !tokens.isEmpty {
      let firstBlock = window * blocksPerWindow
      precondition(
        tokens.count <= blocksPerWindow * ModelLimits.blockSize, "a window is longer than announced")
      for (position, token) in tokens.enumerated() {
        plan.logitRows.append(Int32(plan.tokens.count))
        plan.tokens.append(token)
        plan.positions.append(Int32(position))
        plan.slots.append(Int32(firstBlock * ModelLimits.blockSize + position))
      }
      plan.queryStarts.append(Int32(plan.tokens.count))
      plan.contextLengths.append(Int32(tokens.count))
      for block in 0..<blocksPerWindow { plan.blockTables.append(Int32(firstBlock + block)) }
    }
  }
}
