/// The regular expressions that quantisation configurations name modules with, matched from the start of the name as
/// Python's `re.match` does.
///
/// A subset: literals, `.`, `\d \w \s \.`, `[a-z]` and `[^…]`, groups, `|`, `* + ? {n} {n,m}` with or without `?`, `^`,
/// `$`. Matching follows all alternatives side by side, so a pattern from a file cannot take exponential time.
package struct ModulePattern: Sendable, Equatable {
  package enum Problem: Error, Equatable, Sendable {
    case unsupported(String)
    case unbalanced
    case nothingToRepeat
    case tooLarge
  }

  /// One state of the automaton.
  private enum State: Sendable, Equatable {
    case character(Set<UInt8>)
    case split(Int, Int)
    case atStart(Int)
    case atEnd(Int)
    case accept
  }

  package let text: String
  private let states: [State]
  private let start: Int
  private static let largest = 10_000

  package init(_ text: String) throws(Problem) {
    var compiler = Compiler(pattern: [UInt8](text.utf8))
    let tree = try compiler.alternatives()
    guard compiler.isDone else { throw .unbalanced }
    var states: [State] = [.accept]
    start = try Self.add(tree, next: 0, to: &states)
    self.states = states
    self.text = text
  }

  /// Whether some prefix of `name` matches.
  package func matches(_ name: String) -> Bool {
    let bytes = [UInt8](name.utf8)
    var current: Set<Int> = []
    follow(start, at: 0, of: bytes.count, into: &current)
    for (index, byte) in bytes.enumerated() {
      if current.contains(where: { states[$0] == .accept }) { return true }
      var next: Set<Int> = []
      for state in current {
        // The state a character leads to was added just before it.
        if case .character(let set) = states[state], set.contains(byte) {
          follow(target(of: state), at: index + 1, of: bytes.count, into: &next)
        }
      }
      if next.isEmpty { return false }
      current = next
    }
    return current.contains { states[$0] == .accept }
  }

  private func target(of state: Int) -> Int {
    if case .split(let target, _) = states[state - 1] { target } else { 0 }
  }

  private func follow(_ state: Int, at index: Int, of count: Int, into set: inout Set<Int>) {
    var pending = [state]
    while let state = pending.popLast() {
      guard set.insert(state).inserted else { continue }
      switch states[state] {
      case .split(let a, let b): pending += [a, b]
      case .atStart(let next): if index == 0 { pending.append(next) }
      case .atEnd(let next): if index == count { pending.append(next) }
      case .character, .accept: break
      }
    }
  }

  // MARK: Building

  private indirect enum Tree {
    case empty
    case character(Set<UInt8>)
    case sequence(Tree, Tree)
    case either(Tree, Tree)
    /// `most` nil: any number.
    case times(Tree, least: Int, most: Int?)
    case start, end
  }

  private static func add(_ tree: Tree, next: Int, to states: inout [State]) throws(Problem) -> Int {
    guard states.count < largest else { throw .tooLarge }
    switch tree {
    case .empty: return next
    case .character(let set):
      states.append(.split(next, next))
      states.append(.character(set))
    case .sequence(let a, let b): return try add(a, next: add(b, next: next, to: &states), to: &states)
    case .either(let a, let b):
      let first = try add(a, next: next, to: &states)
      states.append(.split(first, try add(b, next: next, to: &states)))
    case .times(let inner, let least, let most):
      var place = next
      if let most {
        for _ in least..<max(least, most) {
          states.append(.split(try add(inner, next: place, to: &states), next))
          place = states.count - 1
        }
      } else {
        states.append(.split(next, next))
        place = states.count - 1
        states[place] = .split(try add(inner, next: place, to: &states), next)
      }
      for _ in 0..<least { place = try add(inner, next: place, to: &states) }
      return place
    case .start: states.append(.atStart(next))
    case .end: states.append(.atEnd(next))
    }
    return states.count - 1
  }

  private struct Compiler {
    let pattern: [UInt8]
    private var place = 0
    private var depth = 0

    init(pattern: [UInt8]) { self.pattern = pattern }

    var isDone: Bool { place == pattern.count }
    private var peek: Character? {
      place < pattern.count ? Character(Unicode.Scalar(pattern[place])) : nil
    }

    mutating func alternatives() throws(Problem) -> Tree {
      var tree = try sequence()
      while peek == "|" {
        place += 1
        tree = .either(tree, try sequence())
      }
      return tree
    }

    private mutating func sequence() throws(Problem) -> Tree {
      var tree = Tree.empty
      while let next = peek, next != "|", next != ")" { tree = .sequence(tree, try repeated()) }
      return tree
    }

    private mutating func repeated() throws(Problem) -> Tree {
      var tree = try atom()
      while let next = peek {
        switch next {
        case "*": tree = .times(tree, least: 0, most: nil)
        case "+": tree = .times(tree, least: 1, most: nil)
        case "?": tree = .times(tree, least: 0, most: 1)
        case "{":
          let (least, most) = try counts()
          tree = .times(tree, least: least, most: most)
          continue
        default: return tree
        }
        place += 1
        // Lazy repetition finds the same matches.
        if peek == "?", next != "?" { place += 1 }
      }
      return tree
    }

    private mutating func counts() throws(Problem) -> (Int, Int?) {
      guard let close = pattern[place...].firstIndex(of: UInt8(ascii: "}")) else { throw .unbalanced }
      let parts = pattern[place + 1..<close].split(
        separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
      let numbers = parts.map { Int(String(decoding: $0, as: UTF8.self)) }
      guard (1...2).contains(parts.count), let least = numbers[0], (0...100).contains(least) else {
        throw .unsupported("{…}")
      }
      place = close + 1
      guard parts.count == 2 else { return (least, least) }
      if parts[1].isEmpty { return (least, nil) }
      guard let most = numbers[1], (least...100).contains(most) else { throw .unsupported("{…}") }
      return (least, most)
    }

    private mutating func atom() throws(Problem) -> Tree {
      guard let next = peek else { return .empty }
      place += 1
      switch next {
      case "(": return try group()
      case "[": return .character(try bracket())
      case ".": return .character(Set(0...255).subtracting([UInt8(ascii: "\n")]))
      case "^": return .start
      case "$": return .end
      case "*", "+", "?", "{": throw .nothingToRepeat
      case "\\": return .character(try escaped())
      default: return .character([pattern[place - 1]])
      }
    }

    private mutating func group() throws(Problem) -> Tree {
      if peek == "?" {
        guard pattern[place...].starts(with: "?:".utf8) else { throw .unsupported("(?…)") }
        place += 2
      }
      depth += 1
      guard depth < 50 else { throw .tooLarge }
      let tree = try alternatives()
      guard peek == ")" else { throw .unbalanced }
      place += 1
      depth -= 1
      return tree
    }

    private static let digits = Set(UInt8(ascii: "0")...UInt8(ascii: "9"))
    private static let word = digits.union(UInt8(ascii: "a")...UInt8(ascii: "z")).union(
      UInt8(ascii: "A")...UInt8(ascii: "Z")
    ).union([UInt8(ascii: "_")])

    private mutating func escaped() throws(Problem) -> Set<UInt8> {
      guard place < pattern.count else { throw .unbalanced }
      let byte = pattern[place]
      place += 1
      switch Character(Unicode.Scalar(byte)) {
      case "d": return Self.digits
      case "w": return Self.word
      case "s": return Set(" \t\r\n".utf8)
      case let other where Self.word.contains(byte): throw .unsupported("\\\(other)")
      default: return [byte]
      }
    }

    private mutating func bracket() throws(Problem) -> Set<UInt8> {
      let negated = peek == "^"
      if negated { place += 1 }
      var set: Set<UInt8> = []
      var isFirst = true
      while let next = peek, next != "]" || isFirst {
        isFirst = false
        place += 1
        if next == "\\" {
          set.formUnion(try escaped())
          continue
        }
        let low = pattern[place - 1]
        if peek == "-", place + 1 < pattern.count, pattern[place + 1] != UInt8(ascii: "]") {
          let high = pattern[place + 1]
          guard low <= high else { throw .unsupported("[…]") }
          set.formUnion(low...high)
          place += 2
        } else {
          set.insert(low)
        }
      }
      guard peek == "]" else { throw .unbalanced }
      place += 1
      return negated ? Set(0...255).subtracting(set) : set
    }
  }
}
