/// Reads a grammar in the notation of llama.cpp's GBNF, which xgrammar's EBNF shares.
///
/// ```
/// root   ::= item ("," ws item)*      # the text is what `root` derives
/// item   ::= "yes" | "no" | [0-9]{1,3} | "0x" hex+
/// hex    ::= [0-9a-fA-F]
/// ws     ::= " "?
/// ```
/// Names are letters, digits, `-` and `_`; `::=` begins a rule, which ends where the next one begins. Strings stand in
/// double or single quotes with the escapes `\n \r \t \\ \" \' \xHH \uHHHH \UHHHHHHHH`; classes in brackets;
/// `.` is any character; `* + ? {m} {m,} {m,n}` repeat; `( )` groups; `#` begins a comment.
struct GrammarParser {
  private let scalars: [Unicode.Scalar]
  private var index = 0
  private var depth = 0
  private let limits: GrammarLimits
  private var builder: AutomatonBuilder
  private var rules: [String: Int] = [:]
  /// Where a rule was first asked for, until it is defined.
  private var missing: [String: Int] = [:]

  static func parse(_ text: String, limits: GrammarLimits) throws(GrammarError) -> GrammarAutomaton {
    guard text.utf8.count <= limits.textBytes else {
      throw .tooLarge(path: "grammar", reason: "a grammar may have \(limits.textBytes) bytes")
    }
    var parser = GrammarParser(text, limits)
    return try parser.run()
  }

  private init(_ text: String, _ limits: GrammarLimits) {
    scalars = Array(text.unicodeScalars)
    self.limits = limits
    builder = AutomatonBuilder(limits)
  }

  private mutating func run() throws(GrammarError) -> GrammarAutomaton {
    var defined: Set<String> = []
    skipSpace()
    while peek != nil {
      let start = index
      let name = try self.name()
      skipSpace()
      guard takeDefinition() else { throw error("expected '::=' behind the name of a rule") }
      guard defined.insert(name).inserted else { throw error("rule '\(name)' is defined twice", at: start) }
      missing[name] = nil
      let rule = try self.rule(name)
      let body = try alternatives()
      try builder.add(body, from: builder.start(rule), to: builder.end(rule))
      skipSpace()
      if peek != nil, !isDefinition() { throw error("expected the next rule, a quantifier or '|'") }
    }
    if let (name, place) = missing.min(by: { $0.value < $1.value }) {
      throw error("rule '\(name)' is not defined", at: place)
    }
    guard defined.contains("root"), let root = rules["root"] else {
      throw error("there is no rule 'root', which says what the whole text is", at: 0)
    }
    return try GrammarAutomaton(builder, root: root)
  }

  private func error(_ reason: String, at place: Int? = nil) -> GrammarError {
    let before = scalars[..<min(place ?? index, scalars.count)]
    let lineStart = before.lastIndex(of: "\n").map { $0 + 1 } ?? 0
    return .grammar(
      line: before.count { $0 == "\n" } + 1, column: before.count - lineStart + 1, reason: reason)
  }

  private var peek: Unicode.Scalar? { index < scalars.count ? scalars[index] : nil }

  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    if peek == scalar {
      index += 1
      return true
    }
    return false
  }

  private mutating func skipSpace() {
    while let scalar = peek {
      if scalar == "#" {
        while let other = peek, other != "\n" { _ = take(other) }
      } else if [" ", "\t", "\n", "\r"].contains(scalar) {
        index += 1
      } else {
        return
      }
    }
  }

  private static func isNameScalar(_ scalar: Unicode.Scalar) -> Bool {
    ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) || ("0"..."9").contains(scalar)
      || scalar == "-" || scalar == "_"
  }

  private mutating func name() throws(GrammarError) -> String {
    var name = ""
    while let scalar = peek, Self.isNameScalar(scalar) {
      name.unicodeScalars.append(scalar)
      index += 1
    }
    if name.isEmpty { throw error("expected the name of a rule") }
    return name
  }

  private mutating func takeDefinition() -> Bool {
    guard index + 2 < scalars.count, scalars[index] == ":", scalars[index + 1] == ":",
      scalars[index + 2] == "="
    else { return false }
    index += 3
    return true
  }

  /// A name and `::=` come next: a rule begins here.
  private func isDefinition() -> Bool {
    var copy = self
    guard (try? copy.name()) != nil else { return false }
    copy.skipSpace()
    return copy.takeDefinition()
  }

  private mutating func rule(_ name: String) throws(GrammarError) -> Int {
    if let known = rules[name] { return known }
    let rule = try builder.rule("rule '\(name)'")
    rules[name] = rule
    return rule
  }

  private mutating func alternatives() throws(GrammarError) -> Expression {
    depth += 1
    defer { depth -= 1 }
    if depth > limits.depth { throw error("groups are nested deeper than \(limits.depth) levels") }
    var result: [Expression] = []
    repeat { result.append(try sequence()) } while take("|")
    return result.count == 1 ? result[0] : .choice(result)
  }

  private mutating func sequence() throws(GrammarError) -> Expression {
    var parts: [Expression] = []
    while true {
      skipSpace()
      guard let scalar = peek, scalar != "|", scalar != ")", !isDefinition() else { break }
      parts.append(try quantified(try item(scalar)))
    }
    return parts.count == 1 ? parts[0] : .sequence(parts)
  }

  private mutating func item(_ scalar: Unicode.Scalar) throws(GrammarError) -> Expression {
    switch scalar {
    case "\"", "'":
      index += 1
      return .text(try string(until: scalar))
    case "[":
      index += 1
      return .set(try set())
    case ".":
      index += 1
      return .set(.all)
    case "(":
      let start = index
      index += 1
      let body = try alternatives()
      guard take(")") else { throw error("this '(' is not closed", at: start) }
      return body
    default:
      guard Self.isNameScalar(scalar) else {
        throw error("unexpected '\(scalar)'; expected a string, a class, a group or the name of a rule")
      }
      let start = index
      let name = try name()
      if rules[name] == nil { missing[name] = start }
      return .rule(try rule(name))
    }
  }

  private mutating func quantified(_ item: Expression) throws(GrammarError) -> Expression {
    var result = item
    while true {
      skipSpace()
      if take("*") {
        result = .repeated(result, minimum: 0, maximum: nil)
      } else if take("+") {
        result = .repeated(result, minimum: 1, maximum: nil)
      } else if take("?") {
        result = .repeated(result, minimum: 0, maximum: 1)
      } else if take("{") {
        skipSpace()
        guard let minimum = number() else { throw error("expected a number") }
        skipSpace()
        var maximum: Int? = minimum
        if take(",") {
          skipSpace()
          maximum = number()
          skipSpace()
        }
        guard take("}") else { throw error("expected '}'") }
        if let maximum, maximum < minimum { throw error("the bounds of a repetition are out of order") }
        guard max(minimum, maximum ?? 0) <= limits.states else {
          throw error("a repetition of more than \(limits.states) times")
        }
        result = .repeated(result, minimum: minimum, maximum: maximum)
      } else {
        return result
      }
    }
  }

  private mutating func number() -> Int? {
    var value: Int?
    while let scalar = peek, ("0"..."9").contains(scalar) {
      value = min((value ?? 0) * 10 + Int(scalar.value - 0x30), 1 << 40)
      index += 1
    }
    return value
  }

  private mutating func string(until quote: Unicode.Scalar) throws(GrammarError) -> String {
    let start = index - 1
    var text = String.UnicodeScalarView()
    while !take(quote) {
      guard let scalar = peek, scalar != "\n" else { throw error("this string is not closed", at: start) }
      index += 1
      text.append(scalar == "\\" ? try escape() : scalar)
    }
    return String(text)
  }

  private mutating func escape() throws(GrammarError) -> Unicode.Scalar {
    guard let scalar = peek else { throw error("the grammar ends in an escape") }
    index += 1
    switch scalar {
    case "n": return "\n"
    case "r": return "\r"
    case "t": return "\t"
    case "x": return try hexadecimal(2)
    case "u": return try hexadecimal(4)
    case "U": return try hexadecimal(8)
    case "\\", "\"", "'", "[", "]", "-", "^", "/": return scalar
    default: throw error("unknown escape '\\\(scalar)'", at: index - 2)
    }
  }

  private mutating func hexadecimal(_ count: Int) throws(GrammarError) -> Unicode.Scalar {
    var value: UInt32 = 0
    for _ in 0..<count {
      guard let digit = peek?.hexDigit else { throw error("expected \(count) hexadecimal digits") }
      value = value &* 16 &+ digit
      index += 1
    }
    guard let scalar = Unicode.Scalar(value) else { throw error("this is no character") }
    return scalar
  }

  private mutating func set() throws(GrammarError) -> CodePointSet {
    let start = index - 1
    let isNegated = take("^")
    var ranges: [ClosedRange<UInt32>] = []
    while !take("]") {
      let first = try member(start)
      if peek == "-", index + 1 < scalars.count, scalars[index + 1] != "]" {
        index += 1
        let last = try member(start)
        if last < first { throw error("the ends of a range are out of order") }
        ranges.append(first...last)
      } else {
        ranges.append(first...first)
      }
    }
    let set = CodePointSet(ranges)
    let result = isNegated ? set.complement : set.complement.complement
    if result.isEmpty { throw error("a class without characters", at: start) }
    return result
  }

  private mutating func member(_ start: Int) throws(GrammarError) -> UInt32 {
    guard let scalar = peek, scalar != "\n" else { throw error("this '[' is not closed", at: start) }
    index += 1
    return scalar == "\\" ? try escape().value : scalar.value
  }
}
