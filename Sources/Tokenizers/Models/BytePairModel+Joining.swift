extension BytePairModel {
  /// Joins by searching all pairs for the most urgent one each time: O(n²), the fastest way for short pieces.
  func joinShort(_ scratch: inout EncodeScratch, into ids: inout [Int32]) {
    var count = scratch.symbols.count
    if count > 1 {
      fillMerges(&scratch)
      while true {
        // Of equal ranks the leftmost wins.
        var best = MergeTable.none
        var place = 0
        for index in 0..<count - 1
        where MergeTable.rank(of: scratch.merges[index]) < MergeTable.rank(of: best) {
          best = scratch.merges[index]
          place = index
        }
        if best == MergeTable.none { break }
        scratch.symbols[place] = MergeTable.id(of: best)
        count -= 1
        var index = place + 1
        while index < count {
          scratch.symbols[index] = scratch.symbols[index + 1]
          scratch.merges[index - 1] = scratch.merges[index]
          index += 1
        }
        if place > 0 {
          scratch.merges[place - 1] = merges.merge(scratch.symbols[place - 1], scratch.symbols[place])
        }
        if count == 1 { break }
        if place + 1 < count {
          scratch.merges[place] = merges.merge(scratch.symbols[place], scratch.symbols[place + 1])
        }
      }
    }
    for index in 0..<count { ids.append(scratch.symbols[index]) }
  }

  /// Joins with a linked list of symbols and a heap of merges: O(n log n).
  ///
  /// A symbol that was joined to its left neighbour stays in place as `gone`. The heap may hold merges that are
  /// no longer there; they are told by their rank, which differs from that of the pair now at their place.
  func joinLong(_ scratch: inout EncodeScratch, into ids: inout [Int32]) {
    let count = scratch.symbols.count
    fillMerges(&scratch)
    scratch.merges.append(MergeTable.none)
    scratch.previous.removeAll(keepingCapacity: true)
    scratch.next.removeAll(keepingCapacity: true)
    scratch.heap.removeAll()
    for place in 0..<count {
      scratch.previous.append(Int32(place - 1))
      scratch.next.append(Int32(place + 1))
      push(place, &scratch)
    }
    while let (rank, place) = scratch.heap.pop() {
      let merge = scratch.merges[place]
      if merge == MergeTable.none || MergeTable.rank(of: merge) != rank { continue }
      let joined = Int(scratch.next[place])
      let after = Int(scratch.next[joined])
      scratch.symbols[place] = MergeTable.id(of: merge)
      scratch.symbols[joined] = Self.gone
      scratch.merges[joined] = MergeTable.none
      scratch.next[place] = Int32(after)
      scratch.merges[place] =
        after < count ? merges.merge(scratch.symbols[place], scratch.symbols[after]) : MergeTable.none
      if after < count { scratch.previous[after] = Int32(place) }
      push(place, &scratch)
      let before = Int(scratch.previous[place])
      if before >= 0 {
        scratch.merges[before] = merges.merge(scratch.symbols[before], scratch.symbols[place])
        push(before, &scratch)
      }
    }
    for place in 0..<count where scratch.symbols[place] != Self.gone { ids.append(scratch.symbols[place]) }
  }

  private static var gone: Int32 { -1 }

  private func push(_ place: Int, _ scratch: inout EncodeScratch) {
    let merge = scratch.merges[place]
    if merge != MergeTable.none { scratch.heap.push(rank: MergeTable.rank(of: merge), place: place) }
  }

  /// The merge of each symbol with the next.
  private func fillMerges(_ scratch: inout EncodeScratch) {
    scratch.merges.removeAll(keepingCapacity: true)
    for place in 1..<max(1, scratch.symbols.count) {
      scratch.merges.append(merges.merge(scratch.symbols[place - 1], scratch.symbols[place]))
    }
  }
}
