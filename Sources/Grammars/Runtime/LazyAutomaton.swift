/// Why a grammar can't be followed any further. The request ends as failed.
package enum GrammarFailure: Error, Sendable, Equatable {
  /// It leaves too much open at once.
  case tooAmbiguous
}

extension GrammarFailure: CustomStringConvertible {
  package var description: String {
    switch self {
    case .tooAmbiguous:
      "the grammar leaves too many possibilities open at once for this text; make it less ambiguous"
    }
  }
}

/// The automaton of a grammar made deterministic, state by state as texts come along.
///
/// A state is all the places that the bytes so far can lead to, each with its return stacks. Transitions are kept, so
/// that every later text, and every walk over the vocabulary, looks them up.
struct LazyAutomaton: Sendable {
  typealias State = UInt32
  /// No text goes on from here.
  static let dead: State = 0
  private static let unknown = UInt32.max

  let automaton: GrammarAutomaton
  private var stacks = StackSets()
  /// By state.
  private var members = SetTable()
  private(set) var isAccepting: [Bool] = []
  /// By state: how many characters of a JSON string may follow at least; 0 outside strings.
  private(set) var stringRemaining: [Int32] = []
  /// Where one place with its stacks leads without bytes: what was closed before need not be again.
  private var closures: [UInt64: State] = [:]
  /// `[state][class]`
  private var table: [UInt32] = []
  private(set) var start: State = 0
  /// By class of letters of the vocabulary: those that the grammar tells apart.
  var representatives: [[UInt8]] = []
  // Of one step; kept for their memory.
  private var seeds: [UInt64] = []
  private var work: [UInt64] = []
  private var closed: [UInt64] = []
  private var visited: Set<UInt64> = []
  private let mostStates: Int

  /// Places at once in one state.
  static let mostMembers = 4096
  /// Bytes of the table.
  static let mostTableBytes = 8 << 20

  init(_ automaton: GrammarAutomaton) {
    self.automaton = automaton
    mostStates = max(1024, Self.mostTableBytes / 4 / automaton.classes.count)
    reset()
  }

  /// Forgets all states.
  mutating func reset() {
    stacks = StackSets()
    members = SetTable()
    closures.removeAll()
    isAccepting.removeAll()
    stringRemaining.removeAll()
    table.removeAll()
    _ = number([], remaining: 0)
    seeds = [StackSets.member(automaton.start, StackSets.bottom)]
    start = closeSeeds()
  }

  var stateCount: Int { members.count }

  /// Nothing can follow, and nothing has to.
  func isComplete(_ state: State) -> Bool {
    isAccepting[Int(state)] && members.range(Int(state)).count == 1
  }

  /// Where a byte leads; `dead` when it can't follow.
  @inline(__always)
  mutating func next(_ state: State, _ byte: UInt8) throws(GrammarFailureOrFull) -> State {
    let index = Int(state) * automaton.classes.count + Int(automaton.classes.classOf[Int(byte)])
    let known = table[index]
    if known != Self.unknown { return known }
    return try compute(state, at: index)
  }

  private mutating func compute(_ state: State, at index: Int) throws(GrammarFailureOrFull) -> State {
    let byte = automaton.classes.representatives[index % automaton.classes.count]
    seeds.removeAll(keepingCapacity: true)
    for index in members.range(Int(state)) {
      let member = members.items[index]
      let place = StackSets.place(member)
      if place == StackSets.over { continue }
      for edge in automaton.byteEdges(of: place) {
        let edge = automaton.byteEdges[edge]
        if edge.low <= byte, byte <= edge.high {
          seeds.append(StackSets.member(edge.to, StackSets.below(member)))
        }
      }
    }
    let result: State
    if seeds.isEmpty {
      result = Self.dead
    } else if seeds.count == 1 {
      let seed = seeds[0]
      if let known = closures[seed] {
        result = known
      } else {
        result = closeSeeds()
        closures[seed] = result
      }
    } else {
      result = closeSeeds()
    }
    if members.range(Int(result)).count > Self.mostMembers { throw .failure(.tooAmbiguous) }
    if stateCount > mostStates || stacks.count > 4 * mostStates { throw .full }
    table[index] = result
    return result
  }

  /// The bytes that can follow, as the edges of the state's places.
  func edges(of state: State) -> [GrammarAutomaton.ByteEdge] {
    var result: [GrammarAutomaton.ByteEdge] = []
    for member in members.items[members.range(Int(state))] where StackSets.place(member) != StackSets.over {
      for edge in automaton.byteEdges(of: StackSets.place(member)) {
        result.append(automaton.byteEdges[edge])
      }
    }
    return result
  }

  /// The state's place in front of a string's character alone; nil without one.
  mutating func insideString(_ state: State) -> State? {
    guard let character = automaton.stringCharacter else { return nil }
    let own = members.items[members.range(Int(state))].filter { StackSets.place($0) == character }
    return own.isEmpty ? nil : number(own, remaining: stringRemaining[Int(state)])
  }

  /// The state without its place in front of a string's character: what else can follow. Nil when that is nothing.
  mutating func outsideString(_ state: State) -> State? {
    guard let character = automaton.stringCharacter else { return nil }
    let rest = members.items[members.range(Int(state))].filter {
      StackSets.place($0) != character && StackSets.place($0) != StackSets.over
    }
    return rest.isEmpty ? nil : number(rest, remaining: 0)
  }

  /// Follows all edges that take no byte, into rules and out of them.
  private mutating func closeSeeds() -> State {
    work.removeAll(keepingCapacity: true)
    visited.removeAll(keepingCapacity: true)
    for seed in seeds { push(seed) }
    closed.removeAll(keepingCapacity: true)
    var remaining: Int32 = 0
    var index = 0
    while index < work.count {
      let item = work[index]
      index += 1
      let (place, below) = (StackSets.place(item), StackSets.below(item))
      if place == StackSets.over {
        closed.append(item)
        continue
      }
      if isTooDeep(place, below) { continue }
      remaining = max(remaining, automaton.stringRemaining[Int(place)])
      if !automaton.byteEdges(of: place).isEmpty { closed.append(item) }
      for edge in automaton.emptyEdges(of: place) {
        push(StackSets.member(automaton.emptyEdges[edge], below))
      }
      for index in automaton.calls(of: place) {
        let call = automaton.calls[index]
        if isTooDeep(call.to, below) { continue }
        let inner = call.isTail ? below : stacks.number([StackSets.member(call.to, below)])
        push(StackSets.member(call.start, inner))
      }
      if automaton.isEnd[Int(place)] { for index in stacks.members(below) { push(stacks.items[index]) } }
    }
    closed.sort()
    var count = 0
    for index in closed.indices {
      let item = closed[index]
      if count > 0, StackSets.place(closed[count - 1]) == StackSets.place(item) {
        let below = stacks.union(StackSets.below(closed[count - 1]), StackSets.below(item))
        closed[count - 1] = StackSets.member(StackSets.place(item), below)
      } else {
        closed[count] = item
        count += 1
      }
    }
    closed.removeLast(closed.count - count)
    return number(closed, remaining: remaining)
  }

  /// Adds to the work what it has not had. Most closures are small: a list is searched faster than a set then.
  private mutating func push(_ item: UInt64) {
    if work.count < 24 {
      for known in work where known == item { return }
    } else {
      if visited.isEmpty { visited.formUnion(work) }
      if !visited.insert(item).inserted { return }
    }
    work.append(item)
  }

  /// From here the end needs more depth than there is: what is dropped could not have been completed, and what is
  /// kept can be.
  private func isTooDeep(_ place: UInt32, _ below: UInt32) -> Bool {
    stacks.depths[Int(below)] + automaton.needs[Int(place)] > GrammarAutomaton.deepest
  }

  private mutating func number(_ set: [UInt64], remaining: Int32) -> State {
    let (number, isNew) = members.number(set)
    let state = State(number)
    if !isNew { return state }
    isAccepting.append(set.last.map { StackSets.place($0) == StackSets.over } ?? false)
    stringRemaining.append(remaining)
    let classes = automaton.classes
    table.append(contentsOf: repeatElement(Self.dead, count: classes.count))
    let row = Int(state) * classes.count
    for member in set where StackSets.place(member) != StackSets.over {
      for edge in automaton.byteEdges(of: StackSets.place(member)) {
        let edge = automaton.byteEdges[edge]
        let (low, high) = (classes.classOf[Int(edge.low)], classes.classOf[Int(edge.high)])
        for number in Int(low)...Int(high) { table[row + number] = Self.unknown }
      }
    }
    return state
  }
}

/// What stops a step of a lazy automaton.
enum GrammarFailureOrFull: Error {
  case failure(GrammarFailure)
  /// More states or stacks than may be kept at one time: forget them all and start anew.
  case full
}
