/// A deterministic automaton over bytes in which every state can reach an accepting one; without states when it
/// accepts nothing.
struct ByteDFA: Sendable {
  struct Edge: Sendable {
    var low: UInt8
    var high: UInt8
    var to: Int32
  }
  /// By state, sorted; what no edge takes is refused. State 0 is the first.
  private(set) var edges: [[Edge]] = []
  private(set) var isAccepting: [Bool] = []

  var isEmpty: Bool { edges.isEmpty }
  var stateCount: Int { edges.count }

  /// The language of an expression that has no rules.
  init(_ expression: Expression, path: String, limits: GrammarLimits) throws(GrammarError) {
    var builder = AutomatonBuilder(limits)
    let rule: Int
    do {
      rule = try builder.rule(path)
      try builder.add(expression, from: builder.start(rule), to: builder.end(rule))
    } catch {
      throw Self.tooLarge(path, limits)
    }
    try self.init(builder, rule, path: path, limits: limits)
  }

  static func tooLarge(_ path: String, _ limits: GrammarLimits) -> GrammarError {
    .tooLarge(path: path, reason: "its automaton needs more than \(limits.regexStates) states")
  }

  /// Subset construction.
  private init(
    _ builder: AutomatonBuilder, _ rule: Int, path: String, limits: GrammarLimits
  ) throws(GrammarError) {
    let classes = ByteClasses(builder.byteEdges.map { $0.low...$0.high })
    var empties = Lists(builder.stateCount)
    var bytes = Lists(builder.stateCount)
    for edge in builder.emptyEdges { empties.count(edge.from) }
    for edge in builder.byteEdges { bytes.count(edge.from) }
    empties.allocate()
    bytes.allocate()
    for edge in builder.emptyEdges { empties.add(edge.to, to: edge.from) }
    for (index, edge) in builder.byteEdges.enumerated() { bytes.add(Int32(index), to: edge.from) }
    let end = builder.rules[rule].end
    var seen = [Int32](repeating: -1, count: builder.stateCount)
    var stamp: Int32 = 0
    // Without the states that only pass on: those tell nothing apart.
    func closure(_ seeds: [Int32]) -> [Int32] {
      stamp += 1
      var work = seeds
      var result: [Int32] = []
      for seed in seeds { seen[Int(seed)] = stamp }
      while let state = work.popLast() {
        if state == end || !bytes.range(state).isEmpty { result.append(state) }
        for index in empties.range(state) where seen[Int(empties.items[index])] != stamp {
          seen[Int(empties.items[index])] = stamp
          work.append(empties.items[index])
        }
      }
      return result.sorted()
    }
    var numbers: [[Int32]: Int32] = [:]
    var sets: [[Int32]] = []
    // Members of sets are what the work is made of: bounded too.
    var size = 0
    func numbered(_ set: [Int32]) throws(GrammarError) -> Int32 {
      if let known = numbers[set] { return known }
      size += set.count
      guard sets.count < limits.regexStates, size <= 100 * limits.regexStates else {
        throw Self.tooLarge(path, limits)
      }
      numbers[set] = Int32(sets.count)
      sets.append(set)
      return Int32(sets.count - 1)
    }
    _ = try numbered(closure([builder.rules[rule].start]))
    var targets = [[Int32]](repeating: [], count: classes.count)
    var next = 0
    while next < sets.count {
      for state in sets[next] {
        for index in bytes.range(state) {
          let edge = builder.byteEdges[Int(bytes.items[index])]
          for place in Int(classes.classOf[Int(edge.low)])...Int(classes.classOf[Int(edge.high)]) {
            targets[place].append(edge.to)
          }
        }
      }
      var row: [Edge] = []
      for place in 0..<classes.count where !targets[place].isEmpty {
        let to = try numbered(closure(targets[place]))
        targets[place].removeAll(keepingCapacity: true)
        let high = place + 1 < classes.count ? classes.representatives[place + 1] - 1 : 255
        Self.append(Edge(low: classes.representatives[place], high: high, to: to), to: &row)
      }
      edges.append(row)
      isAccepting.append(sets[next].contains(end))
      next += 1
    }
    prune()
  }

  private init() {}

  /// - Parameter edges: by state, sorted.
  init(edges: [[Edge]], isAccepting: [Bool]) {
    (self.edges, self.isAccepting) = (edges, isAccepting)
    prune()
  }

  /// Edges come sorted; neighbours with one target become one.
  private static func append(_ edge: Edge, to row: inout [Edge]) {
    if let last = row.last, last.to == edge.to, Int(last.high) + 1 == Int(edge.low) {
      row[row.count - 1].high = edge.high
    } else {
      row.append(edge)
    }
  }

  /// Drops states that can't reach an accepting one.
  private mutating func prune() {
    var sources = Lists(edges.count)
    for row in edges { for edge in row { sources.count(edge.to) } }
    sources.allocate()
    for (state, row) in edges.enumerated() { for edge in row { sources.add(Int32(state), to: edge.to) } }
    var numbers = [Int32](repeating: -1, count: edges.count)
    var work = edges.indices.filter { isAccepting[$0] }
    for state in work { numbers[state] = 0 }
    while let state = work.popLast() {
      for index in sources.range(Int32(state)) where numbers[Int(sources.items[index])] < 0 {
        numbers[Int(sources.items[index])] = 0
        work.append(Int(sources.items[index]))
      }
    }
    guard !edges.isEmpty, numbers[0] == 0 else {
      (edges, isAccepting) = ([], [])
      return
    }
    var count: Int32 = 0
    for state in edges.indices where numbers[state] == 0 {
      numbers[state] = count
      count += 1
    }
    var rows: [[Edge]] = []
    var accepting: [Bool] = []
    for state in edges.indices where numbers[state] >= 0 {
      var row: [Edge] = []
      for edge in edges[state] where numbers[Int(edge.to)] >= 0 {
        Self.append(Edge(low: edge.low, high: edge.high, to: numbers[Int(edge.to)]), to: &row)
      }
      rows.append(row)
      accepting.append(isAccepting[state])
    }
    (edges, isAccepting) = (rows, accepting)
  }

  func next(_ state: Int32, _ byte: UInt8) -> Int32? {
    edges[Int(state)].first { $0.low <= byte && byte <= $0.high }?.to
  }

  func accepts(_ text: some Sequence<UInt8>) -> Bool {
    if isEmpty { return false }
    var state: Int32 = 0
    for byte in text {
      guard let next = next(state, byte) else { return false }
      state = next
    }
    return isAccepting[Int(state)]
  }
}

// MARK: Sets of texts

extension ByteDFA {
  /// What both accept.
  func intersection(
    _ other: ByteDFA, path: String, limits: GrammarLimits
  ) throws(GrammarError) -> ByteDFA {
    try combined(other, needsOther: true, path: path, limits: limits) { $0 && $1 }
  }

  /// What this accepts and `other` does not.
  func subtracting(
    _ other: ByteDFA, path: String, limits: GrammarLimits
  ) throws(GrammarError) -> ByteDFA {
    try combined(other, needsOther: false, path: path, limits: limits) { $0 && !$1 }
  }

  private func combined(
    _ other: ByteDFA, needsOther: Bool, path: String, limits: GrammarLimits,
    accepts: (Bool, Bool) -> Bool
  ) throws(GrammarError) -> ByteDFA {
    if isEmpty { return self }
    if other.isEmpty { return needsOther ? other : self }
    var result = ByteDFA()
    // A state is a pair; -1 is where the other has refused.
    var numbers: [UInt64: Int32] = [:]
    var pairs: [(Int32, Int32)] = []
    func numbered(_ a: Int32, _ b: Int32) throws(GrammarError) -> Int32 {
      let key = UInt64(UInt32(bitPattern: a)) << 32 | UInt64(UInt32(bitPattern: b))
      if let known = numbers[key] { return known }
      guard pairs.count < limits.regexStates else { throw Self.tooLarge(path, limits) }
      numbers[key] = Int32(pairs.count)
      pairs.append((a, b))
      return Int32(pairs.count - 1)
    }
    _ = try numbered(0, 0)
    var place = 0
    while place < pairs.count {
      let (a, b) = pairs[place]
      let others = b < 0 ? [] : other.edges[Int(b)]
      var row: [Edge] = []
      for edge in edges[Int(a)] {
        // The other's edges cut this one into pieces.
        var low = Int(edge.low)
        for cut in others where cut.high >= edge.low && cut.low <= edge.high {
          if !needsOther, Int(cut.low) > low {
            Self.append(
              Edge(low: UInt8(low), high: cut.low - 1, to: try numbered(edge.to, -1)), to: &row)
          }
          let high = min(cut.high, edge.high)
          Self.append(
            Edge(low: UInt8(max(low, Int(cut.low))), high: high, to: try numbered(edge.to, cut.to)), to: &row)
          low = Int(high) + 1
        }
        if !needsOther, low <= Int(edge.high) {
          Self.append(Edge(low: UInt8(low), high: edge.high, to: try numbered(edge.to, -1)), to: &row)
        }
      }
      result.edges.append(row)
      result.isAccepting.append(accepts(isAccepting[Int(a)], b >= 0 && other.isAccepting[Int(b)]))
      place += 1
    }
    result.prune()
    return result
  }

  /// The texts with so many characters. Bytes 80–BF go on with a character, all others begin one.
  func limited(
    minimum: Int, maximum: Int?, path: String, limits: GrammarLimits
  ) throws(GrammarError) -> ByteDFA {
    if isEmpty || (minimum == 0 && maximum == nil) { return self }
    var result = ByteDFA()
    var numbers: [UInt64: Int32] = [:]
    var pairs: [(state: Int32, count: Int)] = []
    func numbered(_ state: Int32, _ count: Int) throws(GrammarError) -> Int32 {
      let key = UInt64(count) << 32 | UInt64(UInt32(bitPattern: state))
      if let known = numbers[key] { return known }
      guard pairs.count < limits.regexStates else { throw Self.tooLarge(path, limits) }
      numbers[key] = Int32(pairs.count)
      pairs.append((state, count))
      return Int32(pairs.count - 1)
    }
    _ = try numbered(0, 0)
    var place = 0
    while place < pairs.count {
      let (state, count) = pairs[place]
      var row: [Edge] = []
      for edge in edges[Int(state)] {
        for range in [0x00...0x7F, 0x80...0xBF, 0xC0...0xFF] as [ClosedRange<UInt8>] {
          let (low, high) = (max(edge.low, range.lowerBound), min(edge.high, range.upperBound))
          if low > high { continue }
          var next = count
          if range.lowerBound != 0x80 {
            if let maximum, count >= maximum { continue }
            // Without an upper bound, enough is enough.
            next = maximum == nil ? min(count + 1, minimum) : count + 1
          }
          Self.append(Edge(low: low, high: high, to: try numbered(edge.to, next)), to: &row)
        }
      }
      result.edges.append(row)
      result.isAccepting.append(isAccepting[Int(state)] && count >= minimum)
      place += 1
    }
    result.prune()
    return result
  }
}

extension AutomatonBuilder {
  /// - Parameter quoted: the texts as they stand inside a JSON string.
  mutating func add(_ dfa: ByteDFA, quoted: Bool, from: State, to: State) throws(GrammarError) {
    if dfa.isEmpty { return }
    var states: [State] = []
    for _ in 0..<dfa.stateCount { states.append(try state()) }
    empty(from: from, to: states[0])
    for state in 0..<dfa.stateCount {
      if dfa.isAccepting[state] { empty(from: states[state], to: to) }
      for edge in dfa.edges[state] {
        let next = states[Int(edge.to)]
        if quoted {
          try addQuoted(edge.low...edge.high, from: states[state], to: next)
        } else {
          byte(edge.low...edge.high, from: states[state], to: next)
        }
      }
    }
  }

  /// Bytes of a text, with an escape for those that can't stand in a string for themselves.
  private mutating func addQuoted(_ range: ClosedRange<UInt8>, from: State, to: State) throws(GrammarError) {
    var low = Int(range.lowerBound)
    for special in [0x00...0x1F, 0x22...0x22, 0x5C...0x5C] where special.overlaps(low...Int(range.upperBound))
    {
      if low < special.lowerBound { byte(UInt8(low)...UInt8(special.lowerBound - 1), from: from, to: to) }
      for value in special.clamped(to: low...Int(range.upperBound)) {
        try add(.literal(Self.escape(UInt8(value))), from: from, to: to)
      }
      low = special.upperBound + 1
      if low > Int(range.upperBound) { return }
    }
    byte(UInt8(low)...range.upperBound, from: from, to: to)
  }

  static func escape(_ byte: UInt8) -> [UInt8] {
    switch byte {
    case 0x22: Array("\\\"".utf8)
    case 0x5C: Array("\\\\".utf8)
    case 0x08: Array("\\b".utf8)
    case 0x0C: Array("\\f".utf8)
    case 0x0A: Array("\\n".utf8)
    case 0x0D: Array("\\r".utf8)
    case 0x09: Array("\\t".utf8)
    default: Array("\\u00".utf8) + [byte >> 4, byte & 15].map { $0 < 10 ? 0x30 + $0 : 0x61 + $0 - 10 }
    }
  }
}
