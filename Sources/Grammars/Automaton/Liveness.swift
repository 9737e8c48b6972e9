/// Which states can reach the end of their rule, and how deep in other rules that takes them at least.
///
/// An end needs depth 0. An edge passes on what its target needs; a call needs one more than the start of its rule,
/// or what is needed behind it. States are settled in the order of their need, as in Dijkstra's search, each looked
/// at once: O(edges).
struct Liveness {
  /// By state; -1 for one that can't reach an end.
  private(set) var needs: [Int32]

  func isLive(_ state: Int) -> Bool { needs[state] >= 0 }
  func isLive(_ state: Int32) -> Bool { needs[Int(state)] >= 0 }

  /// - Parameter takesBytes: by any text; otherwise by the empty one only.
  init(_ builder: AutomatonBuilder, takesBytes: Bool = true) {
    let count = builder.stateCount
    needs = Array(repeating: -1, count: count)
    var sources = Lists(count)
    if takesBytes { for edge in builder.byteEdges { sources.count(edge.to) } }
    for edge in builder.emptyEdges { sources.count(edge.to) }
    sources.allocate()
    if takesBytes { for edge in builder.byteEdges { sources.add(edge.from, to: edge.to) } }
    for edge in builder.emptyEdges { sources.add(edge.from, to: edge.to) }
    // A call waits for two states: where it goes on, and the start of its rule.
    var waiting = Lists(count)
    for call in builder.calls {
      waiting.count(call.to)
      waiting.count(builder.rules[Int(call.rule)].start)
    }
    waiting.allocate()
    for (index, call) in builder.calls.enumerated() {
      waiting.add(Int32(index), to: call.to)
      waiting.add(Int32(index), to: builder.rules[Int(call.rule)].start)
    }
    // By need: states to settle with it.
    var levels: [[Int32]] = [builder.rules.map(\.end)]
    var level = 0
    while level < levels.count {
      while let state = levels[level].popLast() {
        if needs[Int(state)] >= 0 { continue }
        needs[Int(state)] = Int32(level)
        for index in sources.range(state) where needs[Int(sources.items[index])] < 0 {
          levels[level].append(sources.items[index])
        }
        for index in waiting.range(state) {
          let call = builder.calls[Int(waiting.items[index])]
          let inner = needs[Int(builder.rules[Int(call.rule)].start)]
          if needs[Int(call.from)] >= 0 || needs[Int(call.to)] < 0 || inner < 0 { continue }
          let need = Int(max(needs[Int(call.to)], inner + 1))
          while levels.count <= need { levels.append([]) }
          levels[need].append(call.from)
        }
      }
      level += 1
    }
  }
}

/// A list of numbers for each of many keys, in one piece of memory: count, allocate, add.
struct Lists {
  private var starts: [Int32]
  private var filled: [Int32] = []
  private(set) var items: [Int32] = []

  init(_ keys: Int) { starts = Array(repeating: 0, count: keys + 1) }

  mutating func count(_ key: Int32) { starts[Int(key) + 1] += 1 }

  mutating func allocate() {
    for index in 1..<starts.count { starts[index] += starts[index - 1] }
    filled = starts
    items = Array(repeating: 0, count: Int(starts[starts.count - 1]))
  }

  mutating func add(_ item: Int32, to key: Int32) {
    items[Int(filled[Int(key)])] = item
    filled[Int(key)] += 1
  }

  func range(_ key: Int32) -> Range<Int> { Int(starts[Int(key)])..<Int(starts[Int(key) + 1]) }
}
