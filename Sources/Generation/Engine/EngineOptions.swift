package import Scheduling

/// How an engine runs, whatever the model.
package struct EngineOptions: Sendable {
  package var policy = SchedulingPolicy.firstComeFirstServed
  package var enablePrefixCaching = true
  /// The longest piece of one prompt in one step; 0 sets no limit.
  package var longPrefillTokenThreshold = 0
  /// Requests that may wait for their first step; one more is refused as overloaded.
  package var maxQueuedRequests = 1024
  /// Requests without a seed draw theirs from this and their number, in order of arrival.
  package var seed: UInt64 = 0
  /// Proves the scheduler's books after each step, at O(blocks) a step; a breach stops the engine. For tests.
  package var validateEachStep = false
  /// Downloads every row of logits, even from devices that can sample: the reference, for tests and for finding faults.
  package var samplesOnHost = false
  /// Whether a step may be launched before the results of the one before are known, where the device samples.
  package var overlapsSteps = true
  package var clock = MonotonicClock.system
  /// The key of the prefix cache's hash; random by default.
  package var hashKey = BlockHashKey.random()

  /// Speculative decoding; nil computes one token a sequence and step.
  package var speculation: SpeculationOptions?

  package init() {}
}

/// Why an engine does not start.
package enum EngineError: Error, Sendable, Equatable, CustomStringConvertible {
  case noThread
  case scheduler(SchedulerError)

  package var description: String {
    switch self {
    case .noThread: "the engine's thread could not be created: out of memory or threads"
    case .scheduler(let error): "\(error)"
    }
  }
}
