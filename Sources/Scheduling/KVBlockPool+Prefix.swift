extension KVBlockPool {
  /// Names the content of a leased block, so that others can find it. `tokens[start ..< start + blockSize]`
  /// are its tokens.
  ///
  /// If another block has this name and is leased, that one keeps it and this one stays nameless; if it is
  /// only cached, the name moves here and the other becomes free: one copy is enough, and a leased one
  /// lives longer.
  package mutating func publish(_ block: Int32, _ digest: BlockDigest, tokens: [Int32], start: Int) {
    precondition(nodes[Int(block)].references > 0, "publishing block \(block), which nobody leases")
    precondition(!nodes[Int(block)].isPublished, "publishing block \(block) twice")
    if let holder = find(digest) {
      if nodes[Int(holder)].references > 0 { return }
      withdraw(holder)
    }
    let bucket = bucket(of: digest)
    let head = buckets[bucket]
    nodes[Int(block)].isPublished = true
    nodes[Int(block)].digest = digest
    nodes[Int(block)].chainPrevious = -1
    nodes[Int(block)].chainNext = head
    if head >= 0 { nodes[Int(head)].chainPrevious = block }
    buckets[bucket] = block
    let base = Int(block) * Self.blockSize
    for index in 0..<Self.blockSize { contents[base + index] = tokens[start + index] }
  }

  /// Takes a block's name away, because its content turned out not to be there; a cached block becomes free.
  package mutating func withdraw(_ block: Int32) {
    if !nodes[Int(block)].isPublished { return }
    removeFromTable(block)
    if nodes[Int(block)].references == 0 {
      unlink(block)
      cachedCount -= 1
      freeCount += 1
      link(block, before: nodes[blockCount].next)
    }
  }

  /// The block of this name, if its tokens are `tokens[start ..< start + blockSize]`. It is not leased by
  /// this, and keeps its place in the queue.
  package func lookup(_ digest: BlockDigest, tokens: [Int32], start: Int) -> Int32? {
    guard let block = find(digest) else { return nil }
    let base = Int(block) * Self.blockSize
    for index in 0..<Self.blockSize where contents[base + index] != tokens[start + index] { return nil }
    return block
  }

  package func isPublished(_ block: Int32) -> Bool { nodes[Int(block)].isPublished }

  private func find(_ digest: BlockDigest) -> Int32? {
    var block = buckets[bucket(of: digest)]
    while block >= 0 {
      if nodes[Int(block)].digest == digest { return block }
      block = nodes[Int(block)].chainNext
    }
    return nil
  }

  func bucket(of digest: BlockDigest) -> Int { Int(truncatingIfNeeded: digest.low) & (buckets.count - 1) }

  /// Forgets the digest of a block; its place in the queue and the counts are the caller's.
  mutating func removeFromTable(_ block: Int32) {
    let previous = nodes[Int(block)].chainPrevious
    let next = nodes[Int(block)].chainNext
    if previous >= 0 {
      nodes[Int(previous)].chainNext = next
    } else {
      buckets[bucket(of: nodes[Int(block)].digest)] = next
    }
    if next >= 0 { nodes[Int(next)].chainPrevious = previous }
    nodes[Int(block)].isPublished = false
    nodes[Int(block)].chainPrevious = -1
    nodes[Int(block)].chainNext = -1
  }
}
