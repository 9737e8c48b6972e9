/// Finds rules that begin with themselves: following them would never come to a byte.
struct LeftRecursion {
  private let builder: AutomatonBuilder
  private let liveness: Liveness
  private let nullable: Liveness
  private var empties: Lists
  private var calls: Lists
  /// By state: the last rule whose beginning it was seen in.
  private var seen: [Int32]

  static func check(_ builder: AutomatonBuilder, _ liveness: Liveness) throws(GrammarError) {
    var search = LeftRecursion(builder, liveness)
    try search.run()
  }

  private init(_ builder: AutomatonBuilder, _ liveness: Liveness) {
    self.builder = builder
    self.liveness = liveness
    nullable = Liveness(builder, takesBytes: false)
    empties = Lists(builder.stateCount)
    calls = Lists(builder.stateCount)
    for edge in builder.emptyEdges { empties.count(edge.from) }
    for call in builder.calls { calls.count(call.from) }
    empties.allocate()
    calls.allocate()
    for edge in builder.emptyEdges { empties.add(edge.to, to: edge.from) }
    for (index, call) in builder.calls.enumerated() { calls.add(Int32(index), to: call.from) }
    seen = Array(repeating: -1, count: builder.stateCount)
  }

  /// Depth first over "can come first in".
  private mutating func run() throws(GrammarError) {
    enum Mark { case unseen, onTheWay, done }
    var marks = [Mark](repeating: .unseen, count: builder.rules.count)
    for root in builder.rules.indices where marks[root] == .unseen {
      var path = [(rule: root, first: beginnings(of: root), next: 0)]
      marks[root] = .onTheWay
      while let top = path.last {
        if top.next == top.first.count {
          marks[top.rule] = .done
          path.removeLast()
          continue
        }
        path[path.count - 1].next += 1
        let called = top.first[top.next]
        switch marks[called] {
        case .onTheWay:
          throw .unsupported(
            path: builder.rules[called].name,
            reason:
              "it begins with itself (left recursion): nothing stands before the place where it comes again"
          )
        case .unseen:
          marks[called] = .onTheWay
          path.append((called, beginnings(of: called), 0))
        case .done: break
        }
      }
    }
  }

  /// The rules that can be called before the first byte.
  private mutating func beginnings(of rule: Int) -> [Int] {
    let start = builder.rules[rule].start
    var rules: [Int] = []
    var work = [start]
    seen[Int(start)] = Int32(rule)
    while let state = work.popLast() {
      for index in empties.range(state) {
        let next = empties.items[index]
        if seen[Int(next)] == Int32(rule) { continue }
        seen[Int(next)] = Int32(rule)
        work.append(next)
      }
      for index in calls.range(state) {
        let call = builder.calls[Int(calls.items[index])]
        let inner = builder.rules[Int(call.rule)].start
        guard liveness.isLive(call.to), liveness.isLive(inner) else { continue }
        rules.append(Int(call.rule))
        if nullable.isLive(inner), seen[Int(call.to)] != Int32(rule) {
          seen[Int(call.to)] = Int32(rule)
          work.append(call.to)
        }
      }
    }
    return rules
  }
}
