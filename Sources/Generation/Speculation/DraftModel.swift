package import Compute
package import Scheduling

/// A smaller model that proposes what it would say itself. It has a key/value pool of its own.
///
/// Each round it first reads what its sequences gained since the last one (their whole prompt at first), which gives
/// the first draft, then its own drafts one by one, all sequences in one batch:
///
/// ```
/// known tokens       t₀ t₁ … t₇ t₈ t₉
/// in its pool        └── valid ──┘            as far as it read the tokens that became final
/// step 1 reads                   t₈ t₉  → d₁
/// step 2 reads                         d₁ → d₂ …
/// ```
/// It draws with the noise its target will draw with at the same place (`Sampler`): where the two distributions
/// agree, so do the tokens, not only their frequencies. With greedy requests both take the most likely token.
///
/// A long prompt is read in pieces of one step a round, so that it delays nobody much; its sequence gets no drafts
/// before it is done. A sequence for which the pool has no blocks gets none either.
package final class DraftModel: DraftSource {
  private let model: any EngineModel
  private var pool: KVBlockPool
  private var sampler: Sampler
  /// By slot.
  private var states: [State?] = []
  private var plan = StepPlan()
  /// Subjects with drafts in the round, by their index in the batch.
  private var active: [Int] = []
  private var proposals: [[Int32]] = []
  private let clock: MonotonicClock

  private struct State {
    var id: SequenceID
    var blocks: [Int32] = []
    /// Tokens read that are final.
    var computed = 0
    /// Drafts read behind `computed` tokens.
    var readDrafts: [Int32] = []

    /// Tokens read that are final now that `tokens` are: drafts that were right need not be read again.
    func settled(_ tokens: Span<Int32>) -> Int {
      var count = computed
      for draft in readDrafts {
        if count >= tokens.count - 1 || tokens[count] != draft { break }
        count += 1
      }
      return count
    }
  }

  /// - Precondition: the model has one table for all its layers (`ModelLimits.groupsLayers`).
  package init(_ model: any EngineModel, clock: MonotonicClock = .system) {
    self.clock = clock
    precondition(model.limits.groups == .whole, "a draft model whose layers are grouped")
    self.model = model
    pool = KVBlockPool(blockCount: model.limits.blockCount)
    sampler = Sampler(vocabularySize: model.limits.vocabularySize)
  }

  package var costsSteps: Bool { true }
  package func observe(_ id: SequenceID, token: Int32, isShared: Bool) {}

  package func forget(_ id: SequenceID) {
    guard id.slot < states.count, states[id.slot]?.id == id else { return }
    release(id.slot)
  }

  package func propose(_ batch: inout DraftBatch, _ scheduler: borrowing Scheduler) throws(KernelError) {
    plan.removeAll()
    active.removeAll(keepingCapacity: true)
    proposals = Array(repeating: [], count: batch.subjects.count)
    for index in batch.subjects.indices {
      if plan.entries.count == model.limits.maxSequences { break }
      if batch.subjects[index].limit > 0, catchUp(batch.subjects[index], scheduler) { active.append(index) }
    }
    try draw(&batch)
    var drafted = 1
    while !active.isEmpty {
      plan.removeAll()
      active.removeAll { index in
        proposals[index].count < drafted || batch.subjects[index].limit <= drafted
      }
      for index in active { extend(batch.subjects[index], proposals[index][drafted - 1], scheduler) }
      try draw(&batch)
      drafted += 1
    }
    for index in batch.subjects.indices { batch.propose(proposals[index], for: index) }
  }

  package func unread(_ id: SequenceID, _ scheduler: borrowing Scheduler) -> Int {
    scheduler.withTokens(of: id) { tokens in
      guard id.slot < states.count, let state = states[id.slot], state.id == id else {
        return tokens.count - 1
      }
      return tokens.count - 1 - state.settled(tokens)
    } ?? 0
  }

  /// Adds what a sequence gained to the step. Returns whether the step reaches its last token.
  private func catchUp(_ subject: DraftBatch.Subject, _ scheduler: borrowing Scheduler) -> Bool {
    let slot = subject.id.slot
    while states.count <= slot { states.append(nil) }
    if states[slot]?.id != subject.id {
      release(slot)
      states[slot] = State(id: subject.id)
    }
    let budget = model.limits.maxBatchTokens - plan.tokens.count
    return scheduler.withTokens(of: subject.id) { tokens in
      guard var state = states[slot] else { return false }
      state.computed = state.settled(tokens)
      state.readDrafts.removeAll(keepingCapacity: true)
      let end = min(tokens.count, state.computed + budget)
      let reach = min(end + subject.limit, model.limits.maxModelLength)
      guard end > state.computed, end < model.limits.maxModelLength, hold(reach, &state) else {
        states[slot] = state
        return false
      }
      let start = plan.tokens.count
      for position in state.computed..<end { add(tokens[position], at: position, state) }
      close(state, from: start, context: end, wantsLogits: end == tokens.count)
      state.computed = end
      states[slot] = state
      return end == tokens.count
    } ?? false
  }

  /// Adds one draft of a sequence to the step.
  private func extend(_ subject: DraftBatch.Subject, _ draft: Int32, _ scheduler: borrowing Scheduler) {
    let slot = subject.id.slot
    guard var state = states[slot] else { return }
    let position = state.computed + state.readDrafts.count
    let start = plan.tokens.count
    add(draft, at: position, state)
    close(state, from: start, context: position + 1, wantsLogits: true)
    state.readDrafts.append(draft)
    states[slot] = state
  }

  /// Runs the step and draws the next draft of every active sequence.
  private func draw(_ batch: inout DraftBatch) throws(KernelError) {
    if plan.tokens.isEmpty { return }
    let start = clock.now()
    plan.decodeCount =
      plan.entries.count { $0.tokenCount == 1 } == plan.entries.count ? plan.entries.count : 0
    let stride = rows.lazy.map(\.count).max() ?? 0
    plan.blockTableStride = stride
    for row in rows {
      plan.blockTables += row
      for _ in row.count..<stride { plan.blockTables.append(0) }
    }
    rows.removeAll(keepingCapacity: true)
    let logits = try model.forward(plan)
    for (row, index) in active.enumerated() {
      let subject = batch.subjects[index]
      guard let state = states[subject.id.slot] else { continue }
      let position = state.computed + state.readDrafts.count
      // A row that gives no token only ends the guessing.
      if position >= model.limits.maxModelLength { continue }
      if let token = try? unsafe sampler.sample(logits.row(row), subject.sampling, position: position) {
        proposals[index].append(token)
      }
    }
    batch.note(DraftStep(rows: plan.tokens.count, seconds: EngineCore.seconds(start, clock.now())))
  }

  // MARK: The plan

  private var rows: [[Int32]] = []

  private func add(_ token: Int32, at position: Int, _ state: State) {
    if plan.queryStarts.isEmpty { plan.queryStarts.append(0) }
    let block = state.blocks[position / KVBlockPool.blockSize]
    plan.tokens.append(token)
    plan.positions.append(Int32(position))
    plan.slots.append(block * Int32(KVBlockPool.blockSize) + Int32(position % KVBlockPool.blockSize))
  }

  private func close(_ state: State, from start: Int, context: Int, wantsLogits: Bool) {
    let row = plan.logitRows.count
    if wantsLogits { plan.logitRows.append(Int32(plan.tokens.count - 1)) }
    plan.entries.append(
      StepPlan.Entry(
        id: state.id, tokenStart: start, tokenCount: plan.tokens.count - start,
        logitRange: row..<plan.logitRows.count, samples: wantsLogits))
    plan.queryStarts.append(Int32(plan.tokens.count))
    plan.contextLengths.append(Int32(context))
    rows.append(state.blocks)
  }

  // MARK: Blocks

  /// Sees to blocks for `count` tokens; gives back those that are not needed any more.
  private func hold(_ count: Int, _ state: inout State) -> Bool {
    let needed = (count + KVBlockPool.blockSize - 1) / KVBlockPool.blockSize
    while state.blocks.count > needed { pool.release(state.blocks.removeLast()) }
    while state.blocks.count < needed {
      guard let block = pool.take() else {
        // Without a place for its drafts it needs none for its past.
        while let block = state.blocks.popLast() { pool.release(block) }
        state.computed = 0
        return false
      }
      state.blocks.append(block)
    }
    return true
  }

  private func release(_ slot: Int) {
    guard let state = states[slot] else { return }
    for block in state.blocks.reversed() { pool.release(block) }
    states[slot] = nil
  }

  /// Blocks in use, for tests.
  var usedBlocks: Int { pool.usedCount }
}
