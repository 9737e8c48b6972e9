/// A broken promise of the pool or the scheduler, with the numbers that show it.
package enum KVInvariantError: Error, Equatable, Sendable, CustomStringConvertible {
  case counts(used: Int, cached: Int, free: Int, total: Int)
  case references(block: Int, references: Int, leases: Int)
  case queue(block: Int, reason: String)
  case table(block: Int, reason: String)
  case sequence(id: SequenceID, reason: String)
  case queues(running: Int, waiting: Int, followers: Int)

  package var description: String {
    switch self {
    case .counts(let used, let cached, let free, let total):
      "KV pool: \(used) used + \(cached) cached + \(free) free blocks are not the total of \(total)"
    case .references(let block, let references, let leases):
      "KV pool: block \(block) counts \(references) references and block tables hold it \(leases) times"
    case .queue(let block, let reason):
      "KV pool: block \(block) \(reason)"
    case .table(let block, let reason):
      "KV pool: digest table, block \(block) \(reason)"
    case .queues(let running, let waiting, let followers):
      "scheduler: the queues do not count \(running) running, \(waiting) waiting, \(followers) following"
    case .sequence(let id, let reason):
      "scheduler: sequence \(id.serial) in slot \(id.slot) \(reason)"
    }
  }
}

extension KVBlockPool {
  /// Proves used + cached + free = total by walking the queue and the digest table, and that each block is
  /// referenced once for every lease.
  ///
  /// - Parameter leases: how many block tables hold each block; `blockCount` numbers.
  package func checkInvariants(leases: [Int32]) throws(KVInvariantError) {
    precondition(leases.count == blockCount, "one number of leases a block")
    var used = 0
    for block in 0..<blockCount {
      let references = nodes[block].references
      if references != leases[block] {
        throw .references(block: block, references: Int(references), leases: Int(leases[block]))
      }
      if references > 0 { used += 1 }
    }
    var free = 0
    var cached = 0
    var previous = Int32(blockCount)
    var block = nodes[blockCount].next
    while Int(block) != blockCount {
      let node = nodes[Int(block)]
      if node.previous != previous { throw .queue(block: Int(block), reason: "does not point back") }
      if node.references != 0 { throw .queue(block: Int(block), reason: "is leased and in the queue") }
      if node.isPublished {
        cached += 1
      } else {
        if cached > 0 { throw .queue(block: Int(block), reason: "is free and stands behind cached blocks") }
        free += 1
      }
      if free + cached > blockCount { throw .queue(block: Int(block), reason: "is in a cycle") }
      previous = block
      block = node.next
    }
    if nodes[blockCount].previous != previous {
      throw .queue(block: blockCount, reason: "(the sentinel) does not point back")
    }
    if used + cached + free != blockCount || cached != cachedCount || free != freeCount {
      throw .counts(used: used, cached: cached, free: free, total: blockCount)
    }
    try checkDigestTable()
  }

  private func checkDigestTable() throws(KVInvariantError) {
    var published = 0
    for node in nodes where node.isPublished { published += 1 }
    for index in 0..<buckets.count {
      var previous: Int32 = -1
      var block = buckets[index]
      while block >= 0 {
        let node = nodes[Int(block)]
        if !node.isPublished { throw .table(block: Int(block), reason: "is in a chain without a digest") }
        if node.chainPrevious != previous { throw .table(block: Int(block), reason: "does not point back") }
        if bucket(of: node.digest) != index {
          throw .table(block: Int(block), reason: "is in the wrong bucket")
        }
        published -= 1
        if published < 0 { throw .table(block: Int(block), reason: "is reached twice") }
        previous = block
        block = node.chainNext
      }
    }
    if published != 0 { throw .table(block: -1, reason: "(\(published) of them) cannot be reached") }
  }
}
