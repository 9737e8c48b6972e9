/// Reads a regular expression in the common part of ECMA-262, Python's `re` and PCRE.
///
/// Classes are ASCII (`\d`, `\w`), but for `\s` and `\S`, which know Unicode's spaces; `.` is everything but line ends.
/// Only what describes a language is supported: no look-around, no references, no word boundaries.
struct RegexParser {
  private let path: String
  private let scalars: [Unicode.Scalar]
  private var index = 0
  private var depth = 0
  private let limits: GrammarLimits

  /// An alternative of the whole expression: whether it is tied to the beginning and the end of the text.
  struct Branch {
    var body: Expression
    var isAtStart = false
    var isAtEnd = false
  }

  static func parse(
    _ text: String, path: String, limits: GrammarLimits
  ) throws(GrammarError) -> [Branch] {
    guard text.utf8.count <= limits.textBytes else {
      throw .tooLarge(path: path, reason: "a regular expression may have \(limits.textBytes) bytes")
    }
    var parser = RegexParser(path, text, limits)
    let branches = try parser.branches()
    if parser.index < parser.scalars.count { throw parser.error("unexpected ')'") }
    return branches
  }

  private init(_ path: String, _ text: String, _ limits: GrammarLimits) {
    self.path = path
    scalars = Array(text.unicodeScalars)
    self.limits = limits
  }

  private func error(_ reason: String, back: Int = 0) -> GrammarError {
    let offset = scalars[..<max(0, min(index - back, scalars.count))].reduce(0) { $0 + $1.utf8.count }
    return .regex(path: path, offset: offset, reason: reason)
  }

  private var peek: Unicode.Scalar? { index < scalars.count ? scalars[index] : nil }

  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    if peek == scalar {
      index += 1
      return true
    }
    return false
  }

  /// Alternatives up to the end or a closing bracket.
  private mutating func branches() throws(GrammarError) -> [Branch] {
    depth += 1
    defer { depth -= 1 }
    if depth > limits.depth { throw error("groups are nested deeper than \(limits.depth) levels") }
    var result: [Branch] = []
    repeat { result.append(try branch()) } while take("|")
    return result
  }

  private mutating func branch() throws(GrammarError) -> Branch {
    var branch = Branch(body: .empty)
    var parts: [Expression] = []
    while take("^") { branch.isAtStart = true }
    while let scalar = peek, scalar != "|", scalar != ")" {
      if scalar == "$" {
        index += 1
        while take("$") {}
        if let next = peek, next != "|", next != ")" {
          throw error("'$' is only supported at the end of an alternative")
        }
        branch.isAtEnd = true
        break
      }
      if scalar == "^" { throw error("'^' is only supported at the start of an alternative") }
      let isOnly = parts.isEmpty
      let (atom, inner) = try atom()
      let repeated = try quantified(atom)
      if let inner {
        // `^(a|b)$` says the same as `(^a$|^b$)` when the group is all there is.
        let isWhole =
          isOnly && !repeated.isQuantified && (peek == nil || peek == "|" || peek == ")" || peek == "$")
        if inner.start || inner.end {
          guard isWhole else {
            throw error("anchors inside a group are only supported when it is all there is")
          }
          branch.isAtStart = branch.isAtStart || inner.start
          branch.isAtEnd = branch.isAtEnd || inner.end
        }
      }
      parts.append(repeated.body)
    }
    branch.body = parts.count == 1 ? parts[0] : .sequence(parts)
    return branch
  }

  private mutating func quantified(_ atom: Expression) throws(GrammarError) -> (
    body: Expression, isQuantified: Bool
  ) {
    let minimum: Int
    var maximum: Int?
    switch peek {
    case "*": (minimum, maximum) = (0, nil)
    case "+": (minimum, maximum) = (1, nil)
    case "?": (minimum, maximum) = (0, 1)
    case "{":
      let start = index
      guard let bounds = try bounds() else {
        index = start
        return (atom, false)
      }
      index -= 1
      (minimum, maximum) = bounds
    default: return (atom, false)
    }
    index += 1
    // Lazy or not, the language is the same.
    if !take("?"), peek == "+" { throw error("possessive quantifiers are not supported") }
    if let next = peek, next == "*" || next == "?" || (next == "{" && isBounds()) {
      throw error("nothing to repeat")
    }
    return (.repeated(atom, minimum: minimum, maximum: maximum), true)
  }

  private func isBounds() -> Bool {
    var copy = self
    return ((try? copy.bounds()) ?? nil) != nil
  }

  /// `{m}`, `{m,}`, `{m,n}`; nil for a brace that is itself.
  private mutating func bounds() throws(GrammarError) -> (Int, Int?)? {
    index += 1
    guard let minimum = number() else { return nil }
    var maximum: Int? = minimum
    if take(",") { maximum = number() }
    guard take("}") else { return nil }
    for bound in [minimum, maximum ?? 0] where bound > limits.states {
      throw .tooLarge(path: path, reason: "a repetition of \(bound) times")
    }
    if let maximum, maximum < minimum { throw error("the bounds of a repetition are out of order", back: 1) }
    return (minimum, maximum)
  }

  private mutating func number() -> Int? {
    var value: Int?
    while let scalar = peek, ("0"..."9").contains(scalar) {
      value = min((value ?? 0) * 10 + Int(scalar.value - 0x30), 1 << 40)
      index += 1
    }
    return value
  }

  /// - Returns: for a group also whether all its alternatives are tied to the start and the end.
  private mutating func atom() throws(GrammarError) -> (Expression, (start: Bool, end: Bool)?) {
    guard let scalar = peek else { throw error("the expression ends too early") }
    index += 1
    switch scalar {
    case "(":
      try groupKind()
      let inner = try branches()
      guard take(")") else { throw error("a '(' is not closed") }
      let (starts, ends) = (inner.map(\.isAtStart), inner.map(\.isAtEnd))
      guard Set(starts).count == 1, Set(ends).count == 1 else {
        throw error("anchors must be in all alternatives of a group or in none")
      }
      return (.choice(inner.map(\.body)), (starts[0], ends[0]))
    case "[": return (.set(try set()), nil)
    case ".": return (.set(Self.lineEnds.complement), nil)
    case "*", "+", "?": throw error("nothing to repeat", back: 1)
    case "\\": return (try escape(), nil)
    default: return (.set(CodePointSet(scalar.value)), nil)
    }
  }

  private mutating func groupKind() throws(GrammarError) {
    guard take("?") else { return }
    switch peek {
    case ":": index += 1
    case "P" where index + 1 < scalars.count && scalars[index + 1] == "<":
      index += 2
      try groupName()
    case "<" where index + 1 < scalars.count && scalars[index + 1] != "=" && scalars[index + 1] != "!":
      index += 1
      try groupName()
    case "=", "!", "<": throw error("look-around is not supported")
    case ">": throw error("atomic groups are not supported")
    default: throw error("flags and this kind of group are not supported")
    }
  }

  private mutating func groupName() throws(GrammarError) {
    while let scalar = peek, scalar != ">" {
      guard scalar.properties.isAlphabetic || scalar == "_" || ("0"..."9").contains(scalar) else { break }
      index += 1
    }
    guard take(">") else { throw error("a group's name is not closed") }
  }

  private mutating func escape() throws(GrammarError) -> Expression {
    guard let scalar = peek else { throw error("the expression ends with a backslash") }
    if ("1"..."9").contains(scalar) { throw error("references to groups are not supported") }
    switch scalar {
    case "b", "B", "A", "Z", "z", "G":
      throw error("'\\\(scalar)' is not supported: it matches a place, not text")
    case "k": throw error("references to groups are not supported")
    default: return .set(try escapedSet())
    }
  }

  /// Behind the backslash, in a class or outside.
  private mutating func escapedSet() throws(GrammarError) -> CodePointSet {
    guard let scalar = peek else { throw error("the expression ends with a backslash") }
    index += 1
    switch scalar {
    case "d": return Self.digits
    case "D": return Self.digits.complement
    case "w": return Self.word
    case "W": return Self.word.complement
    case "s": return Self.spaces
    case "S": return Self.spaces.complement
    case "n": return CodePointSet(0x0A)
    case "r": return CodePointSet(0x0D)
    case "t": return CodePointSet(0x09)
    case "f": return CodePointSet(0x0C)
    case "v": return CodePointSet(0x0B)
    case "0": return CodePointSet(0)
    case "x": return CodePointSet(try hexadecimal(2))
    case "u":
      if take("{") {
        var value: UInt32 = 0
        while let digit = peek?.hexDigit, value <= 0x10FFFF {
          value = value * 16 + digit
          index += 1
        }
        guard take("}"), Unicode.Scalar(value) != nil else { throw error("this is no character") }
        return CodePointSet(value)
      }
      return CodePointSet(try unit())
    case "p", "P": throw error("Unicode properties are not supported", back: 1)
    case "a"..."z", "A"..."Z", "1"..."9": throw error("'\\\(scalar)' is not supported", back: 1)
    default: return CodePointSet(scalar.value)
    }
  }

  /// Four digits behind `\u`; of two surrogates the character they make.
  private mutating func unit() throws(GrammarError) -> UInt32 {
    let value = try hexadecimal(4)
    guard (0xD800...0xDFFF).contains(value) else { return value }
    if value < 0xDC00, take("\\"), take("u") {
      let low = try hexadecimal(4)
      if (0xDC00...0xDFFF).contains(low) { return 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00) }
    }
    throw error("half of a surrogate pair is no character")
  }

  private mutating func hexadecimal(_ count: Int) throws(GrammarError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<count {
      guard let digit = peek?.hexDigit else { throw error("expected \(count) hexadecimal digits") }
      value = value * 16 + digit
      index += 1
    }
    return value
  }

  private mutating func set() throws(GrammarError) -> CodePointSet {
    let isNegated = take("^")
    var ranges: [ClosedRange<UInt32>] = []
    var isFirst = true
    while true {
      guard let scalar = peek else { throw error("a '[' is not closed") }
      if scalar == "]", !isFirst || isNegated || index + 1 < scalars.count {
        // `[]…]` begins with a bracket in Python and PCRE and is empty in ECMAScript.
        if isFirst { throw error("write ']' as '\\]' at the start of a class") }
        index += 1
        break
      }
      isFirst = false
      if scalar == "[", index + 1 < scalars.count, [":", ".", "="].contains(scalars[index + 1]) {
        throw error("POSIX classes are not supported")
      }
      let low = try member()
      if peek == "-", index + 1 < scalars.count, scalars[index + 1] != "]", let first = low.single {
        index += 1
        guard let last = try member().single else { throw error("a range ends with a class") }
        if last < first { throw error("the ends of a range are out of order") }
        ranges.append(first...last)
      } else {
        ranges += low.ranges
      }
    }
    let set = CodePointSet(ranges)
    let result = isNegated ? set.complement : set.complement.complement
    if result.isEmpty { throw error("a class without characters") }
    return result
  }

  private mutating func member() throws(GrammarError) -> CodePointSet {
    guard let scalar = peek else { throw error("a '[' is not closed") }
    index += 1
    if scalar != "\\" { return CodePointSet(scalar.value) }
    if take("b") { return CodePointSet(8) }
    if take("-") { return CodePointSet(0x2D) }
    return try escapedSet()
  }

  private static let digits = CodePointSet([0x30...0x39])
  private static let word = CodePointSet([0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A])
  private static let spaces = CodePointSet([
    0x09...0x0D, 0x20...0x20, 0xA0...0xA0, 0x1680...0x1680, 0x2000...0x200A, 0x2028...0x2029,
    0x202F...0x202F, 0x205F...0x205F, 0x3000...0x3000, 0xFEFF...0xFEFF,
  ])
  private static let lineEnds = CodePointSet([0x0A...0x0A, 0x0D...0x0D, 0x2028...0x2029])
}

extension CodePointSet {
  fileprivate var single: UInt32? {
    ranges.count == 1 && ranges[0].count == 1 ? ranges[0].lowerBound : nil
  }
}

extension Unicode.Scalar {
  var hexDigit: UInt32? {
    switch self {
    case "0"..."9": value - 0x30
    case "a"..."f": value - 0x61 + 10
    case "A"..."F": value - 0x41 + 10
    default: nil
    }
  }
}
