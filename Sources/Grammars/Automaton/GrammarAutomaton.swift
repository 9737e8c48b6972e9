/// A grammar as a recursive network over bytes, without what can't be part of a complete text.
///
/// ```
/// rule value:   ●──'['──▶●──item──▶●──']'──▶◎        item: runs the rule, then goes on
///               └──'1'──────────────────────▲        ◎: the rule's end
/// ```
/// Every state that is left can reach its rule's end, so that nothing that was generated has to be taken back.
package struct GrammarAutomaton: Sendable {
  struct ByteEdge: Sendable {
    var low: UInt8
    var high: UInt8
    var to: UInt32
  }
  struct Call: Sendable {
    /// The first state of the rule.
    var start: UInt32
    /// Where to go on; `isTail` says that nothing is left to do there.
    var to: UInt32
    var isTail: Bool
  }
  /// By state, where its edges begin in the lists below; one more at the end.
  private var byteStarts: [UInt32]
  private var emptyStarts: [UInt32]
  private var callStarts: [UInt32]
  private(set) var byteEdges: [ByteEdge]
  private(set) var emptyEdges: [UInt32]
  private(set) var calls: [Call]
  /// States at which a rule is over.
  private(set) var isEnd: [Bool]
  /// By state: how many rules inside each other it takes at least to reach the end of its rule.
  let needs: [Int32]
  /// By state: how many characters of a JSON string may follow at least.
  private(set) var stringRemaining: [Int32]
  /// The first state of the rule of a string's character.
  let stringCharacter: UInt32?
  let start: UInt32
  package let stateCount: Int
  /// Rules inside each other, at most: what would go deeper can't come next.
  static let deepest: Int32 = 256
  /// Bytes that no edge tells apart are of one class.
  let classes: ByteClasses

  func byteEdges(of state: UInt32) -> Range<Int> {
    Int(byteStarts[Int(state)])..<Int(byteStarts[Int(state) + 1])
  }
  func emptyEdges(of state: UInt32) -> Range<Int> {
    Int(emptyStarts[Int(state)])..<Int(emptyStarts[Int(state) + 1])
  }
  func calls(of state: UInt32) -> Range<Int> {
    Int(callStarts[Int(state)])..<Int(callStarts[Int(state) + 1])
  }

  /// - Throws: nothing satisfies the grammar, or a rule begins with itself.
  init(_ builder: AutomatonBuilder, root: Int) throws(GrammarError) {
    let liveness = Liveness(builder)
    guard liveness.isLive(builder.start(root)) else {
      throw .unsatisfiable(
        path: builder.rules[root].name, reason: "every way through it needs itself again, without end")
    }
    guard liveness.needs[builder.start(root)] <= Self.deepest else {
      throw .tooLarge(
        path: builder.rules[root].name, reason: "it needs more than \(Self.deepest) rules inside each other")
    }
    try LeftRecursion.check(builder, liveness)
    needs = liveness.needs
    let count = builder.stateCount
    stateCount = count
    let bytes = builder.byteEdges.filter { liveness.isLive(Int($0.to)) }
    let empties = builder.emptyEdges.filter { liveness.isLive(Int($0.to)) }
    let live = builder.calls.filter {
      liveness.isLive(Int($0.to)) && liveness.isLive(Int(builder.rules[Int($0.rule)].start))
    }
    isEnd = Array(repeating: false, count: count)
    for rule in builder.rules { isEnd[Int(rule.end)] = true }
    stringRemaining = Array(repeating: 0, count: count)
    for place in builder.stringPlaces { stringRemaining[Int(place.state)] = place.remaining }
    stringCharacter = builder.stringCharacter.map { UInt32(builder.start($0)) }
    start = UInt32(builder.start(root))

    var order: [Int]
    (byteStarts, order) = Self.sort(bytes.map(\.from), count)
    byteEdges = order.map { ByteEdge(low: bytes[$0].low, high: bytes[$0].high, to: UInt32(bytes[$0].to)) }
    (emptyStarts, order) = Self.sort(empties.map(\.from), count)
    emptyEdges = order.map { UInt32(empties[$0].to) }
    (callStarts, order) = Self.sort(live.map(\.from), count)
    calls = order.map {
      Call(
        start: UInt32(builder.rules[Int(live[$0].rule)].start), to: UInt32(live[$0].to), isTail: false)
    }
    classes = ByteClasses(bytes.map { $0.low...$0.high })
    for index in calls.indices { calls[index].isTail = isOnlyEnd(calls[index].to) }
  }

  /// Counting sort by source state: where each state's edges begin, and the edges in that order.
  private static func sort(_ sources: [Int32], _ count: Int) -> (starts: [UInt32], order: [Int]) {
    var starts = [UInt32](repeating: 0, count: count + 1)
    for source in sources { starts[Int(source) + 1] += 1 }
    for index in 0..<count { starts[index + 1] += starts[index] }
    var next = starts
    var order = [Int](repeating: 0, count: sources.count)
    for (index, source) in sources.enumerated() {
      order[Int(next[Int(source)])] = index
      next[Int(source)] += 1
    }
    return (starts, order)
  }

  /// From here the rule can only end: calls that return here need not be remembered, which keeps lists flat.
  private func isOnlyEnd(_ state: UInt32) -> Bool {
    var place = state
    for _ in 0..<8 {
      guard byteEdges(of: place).isEmpty, calls(of: place).isEmpty else { return false }
      if isEnd[Int(place)] { return emptyEdges(of: place).isEmpty }
      let next = emptyEdges(of: place)
      guard next.count == 1 else { return false }
      place = emptyEdges[next.lowerBound]
    }
    return false
  }
}

/// Which bytes an automaton tells apart.
struct ByteClasses: Sendable {
  /// By byte.
  private(set) var classOf: [UInt8]
  /// By class: its smallest byte.
  private(set) var representatives: [UInt8]

  var count: Int { representatives.count }

  init(_ ranges: some Sequence<ClosedRange<UInt8>>) {
    var begins = [Bool](repeating: false, count: 257)
    begins[0] = true
    for range in ranges {
      begins[Int(range.lowerBound)] = true
      begins[Int(range.upperBound) + 1] = true
    }
    classOf = Array(repeating: 0, count: 256)
    representatives = []
    for byte in 0..<256 {
      if begins[byte] { representatives.append(UInt8(byte)) }
      classOf[byte] = UInt8(representatives.count - 1)
    }
  }
}
