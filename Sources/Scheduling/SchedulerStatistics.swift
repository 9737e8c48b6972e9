/// The scheduler's gauges and its counters since start.
package struct SchedulerStatistics: Sendable, Equatable {
  /// Sequences holding KV memory.
  package var running = 0
  /// Waiting for memory, for a place among `maxNumSeqs` or for step budget; preempted ones are among them.
  package var waitingForCapacity = 0
  /// Waiting until the first choice of their request has computed the shared prompt.
  package var waitingForSharedPrompt = 0
  package var waiting: Int { waitingForCapacity + waitingForSharedPrompt }

  /// Blocks leased by sequences.
  package var usedBlocks = 0
  /// Blocks nobody leases that still hold a cached prefix.
  package var cachedBlocks = 0
  /// Blocks nobody leases and that hold nothing.
  package var freeBlocks = 0

  /// Tokens looked up in the prefix cache at first admissions, and tokens found.
  package var prefixCacheQueries: UInt64 = 0
  package var prefixCacheHits: UInt64 = 0
  package var preemptions: UInt64 = 0

  package init() {}
}
