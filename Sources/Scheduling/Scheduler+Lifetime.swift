/// What a running sequence needs memory for; handed from one to the next, so that a warm scheduler does not
/// allocate.
struct SequenceBuffers {
  var tokens: [Int32] = []
  var digests: [BlockDigest] = []
  var tables: [BlockTable] = []
  var drafts: [Int32] = []
}

extension Scheduler {
  /// Gives a sequence buffers for its full length. Room that is reserved but never written costs no memory.
  mutating func prepare(_ slot: Int) {
    if sequences[slot].isPrepared { return }
    var buffers = spareBuffers.popLast() ?? SequenceBuffers()
    let limit = sequences[slot].limit
    let blocks = Self.blocks(for: limit)
    buffers.tokens.reserveCapacity(limit)
    buffers.tokens.append(contentsOf: sequences[slot].tokens)
    buffers.digests.reserveCapacity(blocks)
    while buffers.tables.count < groupCount { buffers.tables.append(BlockTable()) }
    for group in buffers.tables.indices { buffers.tables[group].reserve(blocks) }
    sequences[slot].tokens = buffers.tokens
    sequences[slot].digests = buffers.digests
    sequences[slot].tables = buffers.tables
    sequences[slot].drafts = buffers.drafts
    sequences[slot].isPrepared = true
  }

  /// Ends a sequence wherever it stands: its blocks return to the pool, its followers get another leader.
  mutating func end(_ slot: Int, _ reason: EndReason) {
    switch sequences[slot].state {
    case .running:
      running.remove(at: place(of: sequences[slot].key))
    case .waiting, .preempted:
      if waiting.contains(slot) { waiting.remove(slot) } else { leaveLeader(slot) }
    case .finished:
      break
    }
    replaceLeader(slot)
    truncateTables(of: slot, to: 0)
    sequences[slot].scheduled = 0
    sequences[slot].scheduledDrafts = 0
    sequences[slot].isPresumed = false
    sequences[slot].isUnconfirmed = false
    sequences[slot].move(to: .finished(reason))
    recycleBuffers(of: slot)
    vacantSlots.append(slot)
  }

  /// Ends the leases behind the first `count` places, the last ones first: a prefix then outlives its continuations in the
  /// cache, and in all groups as long.
  ///
  /// - Returns: whether there were any.
  @discardableResult
  mutating func truncateTables(of slot: Int, to count: Int) -> Bool {
    let isLonger = sequences[slot].placeCount > count
    while sequences[slot].placeCount > count {
      for group in sequences[slot].tables.indices {
        sequences[slot].tables[group].removeLast(releasingTo: &pool)
      }
    }
    return isLonger
  }

  /// Where a key stands, or belongs, in `running`.
  func place(of key: QueueKey) -> Int {
    var low = 0
    var high = running.count
    while low < high {
      let middle = (low + high) / 2
      if sequences[running[middle]].key < key { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// Takes all blocks from the last running sequence and queues it again.
  mutating func preemptLast() {
    guard let slot = running.popLast() else { return }
    sequences[slot].move(to: .preempted)
    truncateTables(of: slot, to: 0)
    sequences[slot].tableGeneration &+= 1
    sequences[slot].computed = 0
    sequences[slot].scheduled = 0
    sequences[slot].scheduledDrafts = 0
    sequences[slot].drafts.removeAll(keepingCapacity: true)
    waiting.insert(slot, sequences[slot].key)
    preemptions += 1
  }

  /// Lets the choices that waited for this one's prompt compete for admission.
  mutating func releaseFollowers(of slot: Int) {
    var follower = sequences[slot].firstFollower
    sequences[slot].firstFollower = -1
    while follower >= 0 {
      let next = sequences[follower].nextFollower
      sequences[follower].nextFollower = -1
      sequences[follower].leader = -1
      followerCount -= 1
      waiting.insert(follower, sequences[follower].key)
      follower = next
    }
  }

  /// Takes a follower out of its leader's chain.
  private mutating func leaveLeader(_ slot: Int) {
    let leader = sequences[slot].leader
    let next = sequences[slot].nextFollower
    if sequences[leader].firstFollower == slot {
      sequences[leader].firstFollower = next
    } else {
      var before = sequences[leader].firstFollower
      while sequences[before].nextFollower != slot { before = sequences[before].nextFollower }
      sequences[before].nextFollower = next
    }
    sequences[slot].leader = -1
    sequences[slot].nextFollower = -1
    followerCount -= 1
  }

  /// A leader that ends before its prompt is computed hands its duty, and the rest of its chain, to the
  /// next choice.
  private mutating func replaceLeader(_ slot: Int) {
    let heir = sequences[slot].firstFollower
    if heir < 0 { return }
    sequences[slot].firstFollower = -1
    let rest = sequences[heir].nextFollower
    sequences[heir].nextFollower = -1
    sequences[heir].leader = -1
    sequences[heir].firstFollower = rest
    sequences[heir].wantsPromptStates = sequences[slot].wantsPromptStates
    sequences[heir].wantsPromptLogits = sequences[slot].wantsPromptLogits
    sequences[heir].promptRowsDone = sequences[slot].promptRowsDone
    var follower = rest
    while follower >= 0 {
      sequences[follower].leader = heir
      follower = sequences[follower].nextFollower
    }
    followerCount -= 1
    waiting.insert(heir, sequences[heir].key)
  }

  private mutating func recycleBuffers(of slot: Int) {
    var buffers = SequenceBuffers()
    swap(&buffers.tokens, &sequences[slot].tokens)
    if !sequences[slot].isPrepared { return }
    swap(&buffers.digests, &sequences[slot].digests)
    swap(&buffers.tables, &sequences[slot].tables)
    swap(&buffers.drafts, &sequences[slot].drafts)
    for table in buffers.tables { table.recycle() }
    if spareBuffers.count == configuration.maxNumSeqs { return }
    buffers.tokens.removeAll(keepingCapacity: true)
    buffers.digests.removeAll(keepingCapacity: true)
    buffers.drafts.removeAll(keepingCapacity: true)
    spareBuffers.append(buffers)
  }
}
