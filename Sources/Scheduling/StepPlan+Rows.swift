/// Block table rows are kept from step to step: a sequence that stays in its row gets only its new blocks
/// written.
extension StepPlan {
  /// Whose blocks a row of `blockTables` holds.
  struct RowOwner: Sendable, Equatable {
    var id: SequenceID
    /// Of the sequence's table; another generation shares nothing with it.
    var generation: UInt32
    /// Blocks written; zeros follow up to the stride.
    var count = 0
  }

  /// Forgets the last step, except for the rows of `blockTables`.
  mutating func removeEntries() {
    entries.removeAll(keepingCapacity: true)
    decodeCount = 0
    tokens.removeAll(keepingCapacity: true)
    tokenSources.removeAll(keepingCapacity: true)
    positions.removeAll(keepingCapacity: true)
    slots.removeAll(keepingCapacity: true)
    queryStarts.removeAll(keepingCapacity: true)
    contextLengths.removeAll(keepingCapacity: true)
    logitRows.removeAll(keepingCapacity: true)
    adapterRuns.removeAll(keepingCapacity: true)
  }

  /// Chooses a stride for rows of up to `count` blocks. It changes rarely, as that moves every row: it
  /// grows a quarter beyond the need, and shrinks when three quarters of it are padding.
  mutating func fitBlockTables(to count: Int, groups: Int = 1) {
    if groups == groupCount, count <= blockTableStride,
      blockTableStride <= 64 || count > blockTableStride / 4
    {
      return
    }
    groupCount = groups
    blockTables.removeAll(keepingCapacity: true)
    rowOwners.removeAll(keepingCapacity: true)
    blockTableStride = Self.stride(forBlocks: count)
  }

  /// Of rows that a step with tables of up to `count` blocks may have.
  package static func stride(forBlocks count: Int) -> Int { (count + count / 4 + 7) / 8 * 8 }

  /// Room for every step within these limits, so that planning never grows an array.
  package mutating func reserve(
    maxTokens: Int, maxSequences: Int, maxLogitRows: Int, maxModelLength: Int, groups: Int = 1
  ) {
    entries.reserveCapacity(maxSequences)
    tokens.reserveCapacity(maxTokens)
    tokenSources.reserveCapacity(maxSequences)
    positions.reserveCapacity(maxTokens)
    slots.reserveCapacity(maxTokens * groups)
    queryStarts.reserveCapacity(maxSequences + 1)
    contextLengths.reserveCapacity(maxSequences)
    logitRows.reserveCapacity(maxLogitRows)
    rowOwners.reserveCapacity(maxSequences)
    let blocks = (maxModelLength - 1) / KVBlockPool.blockSize + 1
    blockTables.reserveCapacity(maxSequences * Self.stride(forBlocks: blocks) * groups)
  }

  mutating func writeRow(_ row: Int, of tables: [BlockTable], owner: RowOwner) {
    let count = tables[0].count
    let base = row * groupCount * blockTableStride
    if row == rowOwners.count {
      for _ in 0..<groupCount * blockTableStride { blockTables.append(0) }
      rowOwners.append(owner)
    } else if rowOwners[row].id != owner.id || rowOwners[row].generation != owner.generation {
      for group in 0..<groupCount {
        let table = base + group * blockTableStride
        for index in count..<max(count, rowOwners[row].count) { blockTables[table + index] = 0 }
      }
      rowOwners[row] = owner
    }
    let written = rowOwners[row].count
    if written == count { return }
    // Where there is no block nobody looks, but every entry names one.
    for group in 0..<groupCount {
      let table = base + group * blockTableStride
      for index in written..<count { blockTables[table + index] = max(tables[group][index], 0) }
    }
    rowOwners[row].count = count
  }

  /// Drops the rows beyond the last entry.
  mutating func trimBlockTables() {
    let surplus = rowOwners.count - entries.count
    if surplus <= 0 { return }
    rowOwners.removeLast(surplus)
    blockTables.removeLast(surplus * groupCount * blockTableStride)
  }
}
