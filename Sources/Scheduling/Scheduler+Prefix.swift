/// What the prefix cache has of a waiting sequence.
///
/// ```
/// place        0 1 2 3 4 5 6 7 8 9          a query behind place 8, the end:
/// full         ■ ■ ■ ■ ■ ■ ■ ■ ■ ·          sees all of them
/// window       · · · · · · ■ ■ ■ ·          sees three; what is before them need not be there any more
/// ```
/// `matched` holds the blocks, those of a place's groups beside each other; −1 where nobody looks.
extension Scheduler {
  /// Fills `matched` with the longest cached prefix that leaves at least one token to compute, and none of the prompt
  /// positions whose logits or states are still wanted.
  ///
  /// - Returns: how many of `matched` nobody leases now: sharing them uses up available blocks.
  mutating func matchPrefix(_ slot: Int) -> Int {
    matched.removeAll(keepingCapacity: true)
    if !configuration.enablePrefixCaching { return 0 }
    var longest = sequences[slot].tokens.count - 1
    if sequences[slot].wantsPromptRows { longest = min(longest, sequences[slot].promptRowsDone) }
    let end = matchEnd(slot, limit: matchStart(slot, limit: longest / KVBlockPool.blockSize))
    share(slot, end)
    var reclaimed = 0
    for block in matched where block >= 0 && pool.references(to: block) == 0 { reclaimed += 1 }
    return reclaimed
  }

  private mutating func cachedBlock(_ slot: Int, _ place: Int, _ group: Int) -> Int32? {
    extendDigests(of: slot, through: place)
    return pool.lookup(
      sequences[slot].digests[place].of(group: group), tokens: sequences[slot].tokens,
      start: place * KVBlockPool.blockSize)
  }

  /// How far from the start on all blocks are cached that every later query looks at. They are put into `matched`.
  private mutating func matchStart(_ slot: Int, limit: Int) -> Int {
    for place in 0..<limit {
      var isKept = false
      for group in 0..<groupCount {
        if place >= configuration.groups.keptPlaces(group) {
          matched.append(-1)
          continue
        }
        isKept = true
        guard let block = cachedBlock(slot, place, group) else { return place }
        matched.append(block)
      }
      if !isKept { return limit }
    }
    return limit
  }

  /// The last place up to `limit` from behind which the windows see cached blocks only.
  private mutating func matchEnd(_ slot: Int, limit: Int) -> Int {
    var end = limit
    var place = limit - 1
    while place >= 0 {
      var (isSeen, isMissing) = (false, false)
      for group in 0..<groupCount where configuration.groups.retentions[group] != nil {
        if place < configuration.groups.gap(group, at: end * KVBlockPool.blockSize).upperBound { continue }
        isSeen = true
        if cachedBlock(slot, place, group) == nil {
          isMissing = true
          break
        }
      }
      if !isSeen { break }
      if isMissing { end = place }
      place -= 1
    }
    return end
  }

  /// Cuts `matched` to `end` places and adds what the windows see.
  private mutating func share(_ slot: Int, _ end: Int) {
    let count = groupCount
    matched.removeLast(max(0, matched.count - end * count))
    while matched.count < end * count { matched.append(-1) }
    for group in 0..<count where configuration.groups.retentions[group] != nil {
      let first = configuration.groups.gap(group, at: end * KVBlockPool.blockSize).upperBound
      for place in min(first, end)..<end {
        matched[place * count + group] = cachedBlock(slot, place, group) ?? -1
      }
    }
  }
}
