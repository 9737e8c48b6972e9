/// Builds the automaton of a grammar: states with edges that take a byte, nothing, or a whole rule.
///
/// Edges lie in flat lists until `GrammarAutomaton.init` sorts them, so that building a state costs no allocation.
struct AutomatonBuilder {
  typealias State = Int

  struct ByteEdge: Sendable {
    var from: Int32
    var to: Int32
    var low: UInt8
    var high: UInt8
  }
  struct EmptyEdge: Sendable {
    var from: Int32
    var to: Int32
  }
  /// Runs the rule, then goes on at `to`.
  struct Call: Sendable {
    var from: Int32
    var rule: Int32
    var to: Int32
  }
  struct Rule: Sendable {
    /// For messages.
    var name: String
    var start: Int32
    var end: Int32
  }

  let limits: GrammarLimits
  private(set) var stateCount = 0
  private(set) var byteEdges: [ByteEdge] = []
  private(set) var emptyEdges: [EmptyEdge] = []
  private(set) var calls: [Call] = []
  private(set) var rules: [Rule] = []
  /// The rule of one character of a JSON string, once there is one.
  private(set) var stringCharacter: Int?
  /// States in front of characters of a JSON string, with how many of them may follow at least.
  private(set) var stringPlaces: [(state: Int32, remaining: Int32)] = []

  init(_ limits: GrammarLimits) { self.limits = limits }

  mutating func state() throws(GrammarError) -> State {
    guard stateCount < limits.states else {
      throw .tooLarge(path: "#", reason: "its automaton needs more than \(limits.states) states")
    }
    stateCount += 1
    return stateCount - 1
  }

  /// A rule without a body; `rules` says where its body must start and end.
  mutating func rule(_ name: String) throws(GrammarError) -> Int {
    let (start, end) = (try state(), try state())
    rules.append(Rule(name: name, start: Int32(start), end: Int32(end)))
    return rules.count - 1
  }

  func start(_ rule: Int) -> State { State(rules[rule].start) }
  func end(_ rule: Int) -> State { State(rules[rule].end) }

  mutating func byte(_ range: ClosedRange<UInt8>, from: State, to: State) {
    byteEdges.append(
      ByteEdge(from: Int32(from), to: Int32(to), low: range.lowerBound, high: range.upperBound))
  }

  mutating func empty(from: State, to: State) {
    emptyEdges.append(EmptyEdge(from: Int32(from), to: Int32(to)))
  }

  mutating func call(_ rule: Int, from: State, to: State) {
    calls.append(Call(from: Int32(from), rule: Int32(rule), to: Int32(to)))
  }

  mutating func literal(_ text: String, from: State, to: State) throws(GrammarError) {
    try add(.text(text), from: from, to: to)
  }

  mutating func add(_ expression: Expression, from: State, to: State) throws(GrammarError) {
    switch expression {
    case .empty: empty(from: from, to: to)
    case .literal(let bytes):
      var place = from
      for (index, value) in bytes.enumerated() {
        let next = index == bytes.count - 1 ? to : try state()
        byte(value...value, from: place, to: next)
        place = next
      }
      if bytes.isEmpty { empty(from: from, to: to) }
    case .set(let set):
      for sequence in set.utf8 {
        var place = from
        for (index, range) in sequence.enumerated() {
          let next = index == sequence.count - 1 ? to : try state()
          byte(range, from: place, to: next)
          place = next
        }
      }
    case .sequence(let parts):
      var place = from
      for (index, part) in parts.enumerated() {
        let next = index == parts.count - 1 ? to : try state()
        try add(part, from: place, to: next)
        place = next
      }
      if parts.isEmpty { empty(from: from, to: to) }
    case .choice(let parts): for part in parts { try add(part, from: from, to: to) }
    case .repeated(let body, let minimum, let maximum):
      try addRepeated(body, minimum, maximum, from: from, to: to)
    case .rule(let rule): call(rule, from: from, to: to)
    }
  }

  private mutating func addRepeated(
    _ body: Expression, _ minimum: Int, _ maximum: Int?, from: State, to: State
  ) throws(GrammarError) {
    var place = from
    for _ in 0..<minimum {
      let next = try state()
      try add(body, from: place, to: next)
      place = next
    }
    guard let maximum else {
      // A state of its own, so that nobody else's edges join the loop.
      let loop = try state()
      empty(from: place, to: loop)
      try add(body, from: loop, to: loop)
      empty(from: loop, to: to)
      return
    }
    empty(from: place, to: to)
    for _ in minimum..<max(minimum, maximum) {
      let next = try state()
      try add(body, from: place, to: next)
      empty(from: next, to: to)
      place = next
    }
  }

  /// One of these texts. Those that begin alike share their first states.
  mutating func add(choices: [[UInt8]], from: State, to: State) throws(GrammarError) {
    let sorted = choices.sorted { $0.lexicographicallyPrecedes($1) }
    // The states along the text added last.
    var path = [from]
    var last: [UInt8] = []
    for (index, text) in sorted.enumerated() {
      if index > 0, text == last { continue }
      var shared = 0
      while shared < min(text.count, last.count), text[shared] == last[shared] { shared += 1 }
      path.removeLast(path.count - 1 - shared)
      for value in text[shared...] {
        let next = try state()
        byte(value...value, from: path[path.count - 1], to: next)
        path.append(next)
      }
      empty(from: path[path.count - 1], to: to)
      last = text
    }
  }
}

extension AutomatonBuilder {
  /// Characters of a JSON string between its quotes, from `minimum` to `maximum` of them.
  mutating func stringCharacters(
    minimum: Int, maximum: Int?, from: State, to: State
  ) throws(GrammarError) {
    let character = try characterRule()
    var place = from
    for index in 0..<minimum {
      let next = try state()
      markString(place, remaining: maximum.map { $0 - index })
      call(character, from: place, to: next)
      place = next
    }
    guard let maximum else {
      let loop = try state()
      empty(from: place, to: loop)
      markString(loop, remaining: nil)
      call(character, from: loop, to: loop)
      empty(from: loop, to: to)
      return
    }
    empty(from: place, to: to)
    for index in minimum..<max(minimum, maximum) {
      let next = try state()
      markString(place, remaining: maximum - index)
      call(character, from: place, to: next)
      empty(from: next, to: to)
      place = next
    }
  }

  private mutating func markString(_ state: State, remaining: Int?) {
    stringPlaces.append((Int32(state), Int32(clamping: remaining ?? .max)))
  }

  /// One character: itself, or an escape; a pair of escaped surrogates is one character.
  private mutating func characterRule() throws(GrammarError) -> Int {
    if let stringCharacter { return stringCharacter }
    let character = try rule("character of a string")
    stringCharacter = character
    try add(JSONPieces.character, from: start(character), to: end(character))
    return character
  }
}

/// Pieces of JSON as expressions.
enum JSONPieces {
  /// Scalars that may stand for themselves in a string.
  static let plain = CodePointSet([0...0x1F, 0x22...0x22, 0x5C...0x5C]).complement

  private static func hex(_ ranges: ClosedRange<UInt32>...) -> Expression { .set(CodePointSet(ranges)) }
  private static let digit = hex(0x30...0x39, 0x41...0x46, 0x61...0x66)

  static let character: Expression = .choice([
    .set(plain),
    .sequence([
      .text("\\"),
      .choice([
        .set(CodePointSet("\"\\/bfnrt".unicodeScalars.map { $0.value...$0.value })),
        .sequence([.text("u"), escape]),
      ]),
    ]),
  ])

  /// Behind `\u`: D800–DFFF only as a pair.
  private static let escape: Expression = .choice([
    .sequence([hex(0x30...0x39, 0x41...0x43, 0x45...0x46, 0x61...0x63, 0x65...0x66), digit, digit, digit]),
    .sequence([hex(0x44...0x44, 0x64...0x64), hex(0x30...0x37), digit, digit]),
    .sequence([
      hex(0x44...0x44, 0x64...0x64), hex(0x38...0x39, 0x41...0x42, 0x61...0x62), digit, digit,
      .text("\\u"), hex(0x44...0x44, 0x64...0x64), hex(0x43...0x46, 0x63...0x66), digit, digit,
    ]),
  ])

  /// Optional space, or a line break with indentation: enough for every common layout, and never endless.
  static let defaultWhitespace: Expression = .choice([
    .empty, .text(" "),
    .sequence([
      .text("\n"), .repeated(.set(CodePointSet([0x20...0x20, 0x09...0x09])), minimum: 0, maximum: 20),
    ]),
  ])
}
