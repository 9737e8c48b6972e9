/// What is left to give away in the step being planned.
struct StepBudget {
  var tokens: Int
  var logitRows: Int
  /// Blocks that running prompts will still need after this step.
  var promisedBlocks = 0
  var didPreempt = false
}

extension Scheduler {
  /// Plans the next step.
  ///
  /// - Parameter plan: overwritten; pass the same one each time, its rows are reused.
  /// - Returns: false when there is nothing to compute, which is only the case when no sequence is alive, or when
  ///   each of them ends with the step that was counted in advance. `plan` is empty then.
  /// - Precondition: the step before was committed, abandoned or counted in advance (`presume`).
  package mutating func next(into plan: inout StepPlan) -> Bool {
    precondition(!stepInFlight, "the step before was neither committed nor abandoned")
    var budget = StepBudget(tokens: configuration.maxNumBatchedTokens, logitRows: configuration.maxLogitRows)
    scheduleDecodes(&budget, drafts: draftBudget(budget))
    schedulePrompts(&budget)
    for index in 0..<running.count where sequences[running[index]].scheduled > 0 { publish(running[index]) }
    if !budget.didPreempt { admit(&budget) }
    build(&plan)
    assert(
      budget.tokens + plan.tokens.count == configuration.maxNumBatchedTokens
        && budget.logitRows + plan.logitRows.count == configuration.maxLogitRows,
      "the plan is not what the budget was spent on")
    stepInFlight = !plan.isEmpty
    return stepInFlight
  }

  /// The same into a fresh plan; nil when there is nothing to compute.
  package mutating func next() -> StepPlan? {
    var plan = StepPlan()
    return next(into: &plan) ? plan : nil
  }

  private mutating func scheduleDecodes(_ budget: inout StepBudget, drafts: Int) {
    var spare = drafts
    var index = 0
    while index < running.count {
      let slot = running[index]
      // There are at most `maxNumSeqs` decodes, and tokens and rows for as many.
      if sequences[slot].remaining == 1, !sequences[slot].isCancelled {
        if sequences[slot].drafts.isEmpty {
          schedule(slot, 1, &budget)
        } else {
          let drafts = draftCount(of: slot, spare: spare)
          schedule(slot, 1 + drafts, drafts: drafts, &budget)
          spare -= drafts
          // They are of use once; those that did not fit are out of date after this step.
          // There are none left where it had to preempt itself.
          let surplus = sequences[slot].drafts.count - drafts
          if surplus > 0 { sequences[slot].drafts.removeLast(surplus) }
        }
      }
      index += 1
    }
  }

  private mutating func schedulePrompts(_ budget: inout StepBudget) {
    var index = 0
    while index < running.count {
      let slot = running[index]
      index += 1
      if sequences[slot].scheduled > 0 || sequences[slot].isCancelled { continue }
      let count = pieceLength(of: slot, budget)
      if count > 0 { schedule(slot, count, &budget) }
      // It may have preempted itself.
      if sequences[slot].state == .running {
        budget.promisedBlocks += blocksToCome(for: slot)
      }
    }
  }

  /// Blocks that a running prompt will still need beside those it has.
  private func blocksToCome(for slot: Int) -> Int {
    let count = sequences[slot].tokens.count
    var sum = 0
    for group in sequences[slot].tables.indices {
      let atOnce = configuration.groups.blocksAtOnce(
        group, for: count, piece: configuration.maxNumBatchedTokens)
      sum += max(
        0,
        min(
          Self.blocks(for: count) - sequences[slot].placeCount,
          atOnce - sequences[slot].tables[group].leasedCount))
    }
    return sum
  }

  /// Gives a running sequence `count` tokens of the step, preempting from the last one, in the end itself,
  /// for blocks.
  private mutating func schedule(_ slot: Int, _ count: Int, drafts: Int = 0, _ budget: inout StepBudget) {
    let places = Self.blocks(for: sequences[slot].computed + count) - sequences[slot].placeCount
    while pool.availableCount < places * groupCount {
      guard let victim = running.last else { return }
      budget.didPreempt = true
      budget.tokens += sequences[victim].scheduled
      budget.logitRows += logitRowCount(of: victim, scheduled: sequences[victim].scheduled)
      preemptLast()
      if victim == slot { return }
    }
    lease(places, to: slot)
    sequences[slot].scheduledDrafts = drafts
    assign(count, to: slot, &budget)
  }

  /// A block of each group for each of `count` places.
  private mutating func lease(_ count: Int, to slot: Int) {
    for _ in 0..<max(count, 0) {
      for group in sequences[slot].tables.indices {
        guard let block = pool.take() else {
          preconditionFailure("the pool had blocks for \(count) places a moment ago")
        }
        sequences[slot].tables[group].append(block)
      }
    }
  }

  private mutating func assign(_ count: Int, to slot: Int, _ budget: inout StepBudget) {
    sequences[slot].scheduled = count
    budget.tokens -= count
    budget.logitRows -= logitRowCount(of: slot, scheduled: count)
  }

  /// Names the blocks that are full, or that this step fills, and lets the followers go once it finishes the
  /// prompt.
  mutating func publish(_ slot: Int) {
    let known = sequences[slot].known
    if configuration.enablePrefixCaching {
      while (sequences[slot].publishedBlocks + 1) * KVBlockPool.blockSize <= known {
        let index = sequences[slot].publishedBlocks
        extendDigests(of: slot, through: index)
        for group in sequences[slot].tables.indices {
          pool.publish(
            sequences[slot].tables[group][index], sequences[slot].digests[index].of(group: group),
            tokens: sequences[slot].tokens, start: index * KVBlockPool.blockSize)
        }
        sequences[slot].publishedBlocks += 1
      }
    }
    if sequences[slot].firstFollower >= 0, known >= sequences[slot].promptCount { releaseFollowers(of: slot) }
  }

  mutating func extendDigests(of slot: Int, through index: Int) {
    while sequences[slot].digests.count <= index {
      let count = sequences[slot].digests.count
      let parent = count == 0 ? sequences[slot].rootDigest : sequences[slot].digests[count - 1]
      let digest = parent.chained(
        tokens: sequences[slot].tokens, start: count * KVBlockPool.blockSize, key: configuration.hashKey)
      sequences[slot].digests.append(digest)
    }
  }

  /// Starts waiting sequences, strictly in order, while there is room.
  private mutating func admit(_ budget: inout StepBudget) {
    while let slot = waiting.first, running.count < configuration.maxNumSeqs, budget.tokens > 0 {
      let reserve = running.isEmpty ? 0 : configuration.watermarkBlocks + budget.promisedBlocks
      // At least one block is needed for the last token; most refusals end here, before the cache is asked.
      if pool.availableCount <= reserve { return }
      prepare(slot)
      let reclaimed = matchPrefix(slot)
      if blocksToStart(slot) + reclaimed + reserve > pool.availableCount { return }
      let places = matched.count / groupCount
      sequences[slot].computed = places * KVBlockPool.blockSize
      let count = pieceLength(of: slot, budget)
      if count == 0 {
        sequences[slot].computed = 0
        return
      }
      waiting.remove(slot)
      start(slot)
      lease(Self.blocks(for: sequences[slot].computed + count) - places, to: slot)
      assign(count, to: slot, &budget)
      budget.promisedBlocks += blocksToCome(for: slot)
      publish(slot)
    }
  }

  /// Blocks that a waiting sequence needs for all its tokens beside those matched.
  private func blocksToStart(_ slot: Int) -> Int {
    let count = sequences[slot].tokens.count
    let places = Self.blocks(for: count) - matched.count / groupCount
    var sum = 0
    for group in 0..<groupCount {
      var held = 0
      for index in stride(from: group, to: matched.count, by: groupCount) where matched[index] >= 0 {
        held += 1
      }
      let atOnce = configuration.groups.blocksAtOnce(
        group, for: count, piece: configuration.maxNumBatchedTokens)
      sum += min(places, atOnce - held)
    }
    return sum
  }

  /// Moves a sequence into `running` at its place, with the matched blocks leased.
  private mutating func start(_ slot: Int) {
    for index in matched.indices {
      if matched[index] >= 0 { pool.share(matched[index]) }
      sequences[slot].tables[index % groupCount].append(matched[index])
    }
    sequences[slot].publishedBlocks = sequences[slot].placeCount
    if sequences[slot].cachedTokens == nil {
      sequences[slot].cachedTokens = sequences[slot].computed
      if configuration.enablePrefixCaching && !sequences[slot].wantsPromptRows {
        prefixCacheQueries += UInt64(sequences[slot].tokens.count)
        prefixCacheHits += UInt64(sequences[slot].computed)
      }
    }
    sequences[slot].move(to: .running)
    running.insert(slot, at: place(of: sequences[slot].key))
  }
}
