/// Counters and distributions since start, under the names `/metrics` gives them.
package struct EngineStatistics: Sendable {
  package var isAlive = true
  package var runningRequests = 0
  package var waitingRequests = 0
  /// Blocks in use over all blocks, 0...1.
  package var kvCacheUsage = 0.0
  package var prefixCacheQueries: UInt64 = 0
  package var prefixCacheHits: UInt64 = 0
  package var preemptions: UInt64 = 0
  package var promptTokens: UInt64 = 0
  package var generationTokens: UInt64 = 0
  package var rejectedRequests: UInt64 = 0
  /// By `finish_reason`: stop, length, abort, error.
  package var finishedRequests: [String: UInt64] = [:]
  package var histograms: [String: Histogram] = [:]

  package init() {}
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

  package mutating func observe(_ value: Double) {
    var low = 0
    var high = bounds.count
    while low < high {
      let middle = (low + high) / 2
      if value <= bounds[middle] { high = middle } else { low = middle + 1 }
    }
    counts[low] += 1
    sum += value
  }
}
