/// Decides, step by step, which tokens of which sequences are computed, and where their keys and values go.
///
/// It is a deterministic function of the calls made on it: no clock, no device, no randomness (the hash key
/// names blocks, it does not order them). One thread owns it. The loop around it:
///
/// ```
/// add, cancel …                      at any time, also between next and commit
/// next(into: &plan)                  false: nothing to do
/// run the model on plan, sample
/// commit(plan, sampled, &outcomes)   or abandon(plan) when the step failed
/// ```
///
/// **Order.** Sequences are ordered by (priority, arrival), under first come first served by arrival alone.
/// A step is filled in that order: first all running sequences that lack one token (decodes), then the
/// pieces of running prompts, then, if nobody had to be preempted, the waiting ones, strictly from the
/// first: one that does not fit holds those behind it back. Who needs a block when none is left preempts
/// the last running sequence, in the end itself. So the first sequence always gets on, and since no request
/// longer than the pool is taken, it ends.
///
/// **Memory.** A waiting sequence starts when all its tokens fit beside what the running prompts still
/// need, and the watermark stays free. It takes the full blocks its prefix shares with the cache, never all
/// its tokens: the last is always computed. Preemption gives up all blocks and recomputes, mostly from the
/// cache.
///
/// **Prefix cache.** A block that the step under way fills is published when the step is planned: sequences
/// admitted later *in the same step* share it already. That is sound because within a layer a step writes
/// all its keys and values before any of its queries reads (see `StepPlan`), and because such a step is
/// committed or abandoned whole.
///
/// **Several choices.** The first choice computes the prompt. The others wait (`waitingForSharedPrompt`)
/// until the step that finishes it, then come through the prefix cache: full blocks are shared, and each
/// computes the tail (1 … 16 tokens) into a block of its own. No block is ever copied or written by two
/// sequences.
///
/// **Windows and sinks.** Blocks that no later query sees return to the pool with each commit, and a prefix is found in the
/// cache by what a query behind it sees (`KVRetention`). Layers that see different keys have tables of their own
/// (`KVGroups`).
///
/// **Drafts.** `propose` gives a decode guesses to verify; see `Scheduler+Drafts.swift`.
///
/// **Two steps.** `presume` lets `next` come before the `commit` of the step before; see `Scheduler+Overlap.swift`.
package struct Scheduler: ~Copyable {
  /// Choices of one request.
  package static let maxChoices = 16384

  package let configuration: SchedulerConfiguration
  var pool: KVBlockPool
  /// By slot. A slot without a live sequence holds a finished one until it is used again.
  var sequences: [Sequence] = []
  var vacantSlots: [Int] = []
  /// Slots of the running sequences, in order of their keys.
  var running: [Int] = []
  var waiting = WaitingQueue()
  /// Sequences that are in no queue because they wait for their leader's prompt.
  var followerCount = 0
  var nextSerial: UInt64 = 0
  var stepInFlight = false
  /// A step was counted in advance and is still to be committed, before the one that is in flight if there is one.
  var hasPresumedStep = false
  /// Entries of the step in flight whose sequences ended when the step before was committed.
  var overruns = 0

  /// Buffers of ended sequences, for the next ones; at most `maxNumSeqs`.
  var spareBuffers: [SequenceBuffers] = []
  /// Blocks found in the cache for the sequence being admitted; see `matchPrefix`.
  var matched: [Int32] = []

  var prefixCacheQueries: UInt64 = 0
  var prefixCacheHits: UInt64 = 0
  var preemptions: UInt64 = 0

  /// - Throws: `SchedulerError.invalidConfiguration`.
  package init(_ configuration: SchedulerConfiguration) throws(SchedulerError) {
    try configuration.validate()
    self.configuration = configuration
    pool = KVBlockPool(blockCount: configuration.blockCount)
    running.reserveCapacity(configuration.maxNumSeqs)
    spareBuffers.reserveCapacity(configuration.maxNumSeqs)
  }

  /// Queues a request.
  ///
  /// - Returns: one id a choice, in order.
  /// - Throws: `emptyPrompt`, `promptTooLong`, `exceedsMemory` or `invalidRequest`; the scheduler is
  ///   unchanged then.
  package mutating func add(_ request: SchedulerRequest) throws(SchedulerError) -> [SequenceID] {
    let limit = try lengthLimit(of: request)
    let root = BlockDigest.root(
      salt: request.cacheSalt, adapter: request.adapter, key: configuration.hashKey)
    let priority = configuration.policy == .priority ? request.priority : 0
    let sharesBlocks = configuration.enablePrefixCaching && request.prompt.count > KVBlockPool.blockSize
    var ids: [SequenceID] = []
    ids.reserveCapacity(request.choices)
    var leader = -1
    var lastFollower = -1
    for choice in 0..<request.choices {
      let slot = vacantSlots.popLast() ?? sequences.count
      let id = SequenceID(serial: nextSerial, slot: slot)
      let sequence = Sequence(
        id: id, key: QueueKey(priority: priority, serial: nextSerial), tokens: request.prompt, limit: limit,
        rootDigest: root, adapter: request.adapter,
        wantsPromptLogits: request.wantsPromptLogits && choice == 0,
        wantsPromptStates: request.wantsPromptStates && choice == 0)
      nextSerial += 1
      if slot == sequences.count { sequences.append(sequence) } else { sequences[slot] = sequence }
      // So that a sequence's end allocates nothing.
      if vacantSlots.capacity < sequences.count { vacantSlots.reserveCapacity(2 * sequences.count) }
      ids.append(id)
      if choice == 0 || !sharesBlocks {
        leader = slot
        waiting.insert(slot, sequence.key)
        continue
      }
      sequences[slot].leader = leader
      if lastFollower < 0 {
        sequences[leader].firstFollower = slot
      } else {
        sequences[lastFollower].nextFollower = slot
      }
      lastFollower = slot
      followerCount += 1
    }
    return ids
  }

  /// Ends a sequence early. Its memory is free at once, or, when a step under way carries it, with the
  /// commit of that step, whose outcome for it is `discarded`.
  ///
  /// - Returns: whether the sequence was alive until now.
  @discardableResult
  package mutating func cancel(_ id: SequenceID) -> Bool {
    guard isLive(id), !sequences[id.slot].isCancelled else { return false }
    if sequences[id.slot].scheduled > 0 || sequences[id.slot].isPresumed {
      sequences[id.slot].isCancelled = true
    } else {
      end(id.slot, .cancelled)
    }
    return true
  }

  /// Where a sequence stands; nil once it is finished and its slot has been given to another. A sequence
  /// cancelled in mid-step still counts as running.
  package func state(of id: SequenceID) -> SequenceState? {
    guard id.slot < sequences.count, sequences[id.slot].id == id else { return nil }
    return sequences[id.slot].state
  }

  /// Prompt tokens the cache gave at the first admission; nil before that and after the end.
  package func cachedTokens(of id: SequenceID) -> Int? {
    isLive(id) ? sequences[id.slot].cachedTokens : nil
  }

  /// Lends prompt and sampled tokens of a live sequence; nil when it is over. While a step is counted in advance,
  /// the last token may stand for one that is not known yet.
  package func withTokens<Result>(of id: SequenceID, _ body: (Span<Int32>) -> Result) -> Result? {
    guard isLive(id) else { return nil }
    let tokens = sequences[id.slot].tokens
    return body(tokens.span)
  }

  var groupCount: Int { configuration.groups.count }

  /// Whether any sequence is alive.
  package var isIdle: Bool { running.isEmpty && waiting.count == 0 && followerCount == 0 }

  /// - Complexity: O(1)
  package var statistics: SchedulerStatistics {
    var statistics = SchedulerStatistics()
    statistics.running = running.count
    statistics.waitingForCapacity = waiting.count
    statistics.waitingForSharedPrompt = followerCount
    statistics.usedBlocks = pool.usedCount
    statistics.cachedBlocks = pool.cachedCount
    statistics.freeBlocks = pool.freeCount
    statistics.prefixCacheQueries = prefixCacheQueries
    statistics.prefixCacheHits = prefixCacheHits
    statistics.preemptions = preemptions
    return statistics
  }

  func isLive(_ id: SequenceID) -> Bool {
    guard id.slot < sequences.count, sequences[id.slot].id == id else { return false }
    if case .finished = sequences[id.slot].state { return false }
    return true
  }

  /// The count of tokens at which a choice of this request ends, if the request can be served at all.
  private func lengthLimit(of request: SchedulerRequest) throws(SchedulerError) -> Int {
    if request.prompt.isEmpty { throw .emptyPrompt }
    if !(1...Self.maxChoices).contains(request.choices) {
      let requirement = "1 ... \(Self.maxChoices)"
      throw .invalidRequest(field: "choices", value: request.choices, requirement: requirement)
    }
    if request.maxNewTokens < 0 {
      throw .invalidRequest(field: "maxNewTokens", value: request.maxNewTokens, requirement: "0 or more")
    }
    let promptCount = request.prompt.count
    let longestPrompt = configuration.maxModelLength - min(request.maxNewTokens, 1)
    if promptCount > longestPrompt { throw .promptTooLong(tokens: promptCount, maximum: longestPrompt) }
    let limit = promptCount + min(request.maxNewTokens, configuration.maxModelLength - promptCount)
    // The last sampled token is never an input, so it needs no place.
    let neededBlocks = blocksAtOnce(for: max(promptCount, limit - 1))
    if neededBlocks > configuration.blockCount {
      throw .exceedsMemory(neededBlocks: neededBlocks, totalBlocks: configuration.blockCount)
    }
    return limit
  }

  /// Blocks that hold `count` tokens.
  static func blocks(for count: Int) -> Int { (count + KVBlockPool.blockSize - 1) / KVBlockPool.blockSize }
}
