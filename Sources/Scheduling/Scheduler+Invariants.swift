extension Scheduler {
  /// Proves what must hold between any two calls: the pool's books agree with the tables, and each live
  /// sequence is in exactly the queue its state says. Costs O(blocks + sequences); for tests and for an
  /// idle engine.
  package func checkInvariants() throws(KVInvariantError) {
    var leases = [Int32](repeating: 0, count: configuration.blockCount)
    var runningCount = 0
    var waitingCount = 0
    var followers = 0
    for slot in 0..<sequences.count {
      let id = sequences[slot].id
      let computed = sequences[slot].computed
      let places = sequences[slot].placeCount
      for group in sequences[slot].tables.indices {
        let table = sequences[slot].tables[group]
        if table.count != places {
          throw .sequence(
            id: id, reason: "has \(table.count) places in group \(group) and \(places) in others")
        }
        let gap = configuration.groups.gap(group, at: computed)
        for index in 0..<places {
          let isUnseen = gap.contains(index)
          if isUnseen != (table[index] < 0) {
            throw .sequence(
              id: id,
              reason: "\(isUnseen ? "keeps" : "lacks") block \(index) of group \(group) at \(computed) tokens"
            )
          }
          if !isUnseen { leases[Int(table[index])] += 1 }
        }
        let held = (0..<places).count { table[$0] >= 0 }
        if table.leasedCount != held {
          throw .sequence(
            id: id, reason: "counts \(table.leasedCount) leases in group \(group) and has \(held)")
        }
      }
      switch sequences[slot].state {
      case .running:
        runningCount += 1
        let needed = Self.blocks(for: sequences[slot].computed + sequences[slot].scheduled)
        if places != needed {
          throw .sequence(id: id, reason: "has \(places) places for \(needed)")
        }
        if !stepInFlight && (sequences[slot].scheduled != 0 || sequences[slot].scheduledDrafts != 0) {
          throw .sequence(id: id, reason: "is in a step and there is none")
        }
        if sequences[slot].publishedBlocks * KVBlockPool.blockSize > sequences[slot].known {
          throw .sequence(id: id, reason: "has published blocks beyond its \(sequences[slot].known) tokens")
        }
      case .waiting, .preempted:
        if waiting.contains(slot) { waitingCount += 1 } else { followers += 1 }
        fallthrough
      case .finished:
        if places > 0 {
          throw .sequence(id: id, reason: "has \(places) places and does not run")
        }
      }
    }
    try pool.checkInvariants(leases: leases)
    try checkQueues(running: runningCount, waiting: waitingCount, followers: followers)
  }

  private func checkQueues(running count: Int, waiting: Int, followers: Int) throws(KVInvariantError) {
    for index in 0..<running.count {
      let sequence = sequences[running[index]]
      if sequence.state != .running {
        throw .sequence(id: sequence.id, reason: "is in the running list and is \(sequence.state)")
      }
      if index > 0, !(sequences[running[index - 1]].key < sequence.key) {
        throw .sequence(id: sequence.id, reason: "is out of order in the running list")
      }
    }
    if count != running.count || waiting != self.waiting.count || followers != followerCount {
      throw .queues(running: count, waiting: waiting, followers: followers)
    }
  }
}
