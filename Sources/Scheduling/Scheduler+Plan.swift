extension Scheduler {
  /// Writes the decisions of this step into `plan`: decodes in order, then the pieces of prompts in order.
  mutating func build(_ plan: inout StepPlan) {
    plan.removeEntries()
    var longestTable = 0
    var scheduled = 0
    var usesAdapters = false
    for index in 0..<running.count {
      let slot = running[index]
      if sequences[slot].adapter != 0 { usesAdapters = true }
      if sequences[slot].scheduled > 0 {
        scheduled += 1
        longestTable = max(longestTable, sequences[slot].placeCount)
      }
    }
    plan.fitBlockTables(to: longestTable, groups: groupCount)
    if longestTable > 0 { plan.queryStarts.append(0) }
    if usesAdapters {
      writeByAdapter(to: &plan)
    } else {
      for index in 0..<running.count where isDecode(running[index]) { write(running[index], to: &plan) }
      plan.decodeCount = plan.entries.count
      for index in 0..<running.count where plan.entries.count < scheduled {
        let slot = running[index]
        if sequences[slot].scheduled > 0 && !isDecode(slot) { write(slot, to: &plan) }
      }
    }
    plan.trimBlockTables()
    for group in 0..<groupCount {
      for index in 0..<plan.entries.count {
        let entry = plan.entries[index]
        for row in entry.tokenStart..<entry.tokenStart + entry.tokenCount {
          plan.slots.append(sequences[entry.id.slot].tables[group].slot(of: Int(plan.positions[row])))
        }
      }
    }
  }

  /// The same with the sequences of an adapter beside each other: each adapter is then one or two runs of rows.
  private func writeByAdapter(to plan: inout StepPlan) {
    var order: [(rank: Int, adapter: Int32, place: Int)] = []
    for place in 0..<running.count where sequences[running[place]].scheduled > 0 {
      order.append((isDecode(running[place]) ? 0 : 1, sequences[running[place]].adapter, place))
    }
    order.sort { ($0.rank, $0.adapter, $0.place) < ($1.rank, $1.adapter, $1.place) }
    for entry in order { write(running[entry.place], to: &plan) }
    plan.decodeCount = order.count { $0.rank == 0 }
    for entry in plan.entries where entry.adapter != 0 {
      let rows = entry.tokenStart..<entry.tokenStart + entry.tokenCount
      if let last = plan.adapterRuns.last, last.adapter == entry.adapter,
        last.rows.upperBound == rows.lowerBound
      {
        plan.adapterRuns[plan.adapterRuns.count - 1].rows = last.rows.lowerBound..<rows.upperBound
      } else {
        plan.adapterRuns.append(AdapterRun(adapter: entry.adapter, rows: rows))
      }
    }
  }

  /// Not the last token of a prompt that was left over alone: how a prompt is cut must not change its logits.
  @inline(__always)
  private func isDecode(_ slot: Int) -> Bool {
    sequences[slot].scheduled - sequences[slot].scheduledDrafts == 1 && sequences[slot].remaining == 1
      && sequences[slot].isBehindPrompt
  }

  private func write(_ slot: Int, to plan: inout StepPlan) {
    let start = sequences[slot].computed
    let count = sequences[slot].scheduled
    let drafts = sequences[slot].scheduledDrafts
    let known = sequences[slot].tokens.count
    let tokenStart = plan.tokens.count
    let logitStart = plan.logitRows.count
    for position in start..<start + count {
      plan.tokens.append(
        position < known ? sequences[slot].tokens[position] : sequences[slot].drafts[position - known])
      plan.positions.append(Int32(position))
    }
    let wanted = logitPositions(of: slot, scheduled: count)
    for position in wanted.prompt { plan.logitRows.append(Int32(tokenStart + position - start)) }
    if wanted.samples {
      for row in tokenStart + count - 1 - drafts..<tokenStart + count { plan.logitRows.append(Int32(row)) }
    }
    if hasPresumedStep, isDecode(slot) {
      plan.tokenSources.append(sequences[slot].isUnconfirmed ? sequences[slot].sampledRow : -1)
    }
    plan.writeRow(
      plan.entries.count, of: sequences[slot].tables,
      owner: StepPlan.RowOwner(id: sequences[slot].id, generation: sequences[slot].tableGeneration))
    plan.entries.append(
      StepPlan.Entry(
        id: sequences[slot].id, tokenStart: tokenStart, tokenCount: count,
        logitRange: logitStart..<plan.logitRows.count, samples: wanted.samples,
        cachedTokens: sequences[slot].cachedTokens ?? 0, draftCount: drafts,
        adapter: sequences[slot].adapter))
    plan.queryStarts.append(Int32(tokenStart + count))
    plan.contextLengths.append(Int32(start + count))
  }
}
