/// Counters and distributions since start.
///
/// Sequences are counted, as vLLM does: a request with three choices counts three. The keys of `histograms` are whole metric
/// names as `/metrics` shows them: vLLM's, such as `vllm:time_to_first_token_seconds`, and `gpuinfer:…` for what vLLM
/// has no name for.
package struct EngineStatistics: Sendable {
  package var isAlive = true
  package var runningRequests = 0
  package var waitingRequests = 0
  /// Blocks in use over all blocks, 0...1.
  package var kvCacheUsage = 0.0
  package var prefixCacheQueries: UInt64 = 0
  package var prefixCacheHits: UInt64 = 0
  package var preemptions: UInt64 = 0
  /// Prompt tokens of the requests that got through their prompt; those the cache gave are among them.
  package var promptTokens: UInt64 = 0
  /// Prompt tokens that the prefix cache gave.
  package var cachedPromptTokens: UInt64 = 0
  package var generationTokens: UInt64 = 0
  /// Requests refused at submission, whatever the reason.
  package var rejectedRequests: UInt64 = 0
  /// Steps of the engine.
  package var steps: UInt64 = 0
  /// Choices by `finish_reason`: stop, length, abort, error. A choice ended by `finish(choice:)` counts as stop.
  package var finishedRequests: [String: UInt64] = [:]
  package var histograms: [String: Histogram] = [:]
  /// Requests with an adapter, by its number; those of none are left out.
  package var adapters: [Int32: AdapterLoad] = [:]
  /// nil without speculation.
  package var speculation: SpeculationStatistics?

  package init() {}
}

/// Requests that ask for one adapter.
package struct AdapterLoad: Sendable, Equatable {
  package var running = 0
  package var waiting = 0

  package init(running: Int = 0, waiting: Int = 0) {
    self.running = running
    self.waiting = waiting
  }
}

/// A Prometheus histogram: counts per upper bound, plus the overflow bucket at the end.
package struct Histogram: Sendable, Equatable {
  package let bounds: [Double]
  package private(set) var counts: [UInt64]
  package private(set) var sum = 0.0

  package init(bounds: [Double]) {
    self.bounds = bounds
    counts = Array(repeating: 0, count: bounds.count + 1)
  }

  package var total: UInt64 { counts.reduce(0, +) }

  /// - Parameter times: counts the value this often.
  package mutating func observe(_ value: Double, times: Int = 1) {
    if times <= 0 { return }
    var low = 0
    var high = bounds.count
    while low < high {
      let middle = (low + high) / 2
      if value <= bounds[middle] { high = middle } else { low = middle + 1 }
    }
    counts[low] += UInt64(times)
    sum += value * Double(times)
  }
}
