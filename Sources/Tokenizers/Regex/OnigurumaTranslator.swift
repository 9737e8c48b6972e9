/// Rewrites an expression from Oniguruma's Ruby syntax, in which `tokenizer.json` writes them, to PCRE2's.
///
/// The two differ in what `\s`, `\w`, `\h` and `\v` mean, in nested and intersected sets (`[a[bc]&&[^b]]`), in
/// the letters of options (`(?m)` lets a dot match line breaks), and in some rare forms that are refused.
struct OnigurumaTranslator {
  private let source: String
  private let scalars: [Unicode.Scalar]
  private var place = 0
  private var output = ""

  /// White_Space, the members of `\s`.
  static let space =
    #"\x09-\x0D\x20\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}"#
  /// The members of `\w` in a set: alphabetic characters, marks, decimal digits and connectors.
  static let setWord =
    #"\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24B6}-\x{24E9}\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189}"#
  /// Outside of sets Oniguruma counts Latin-1's other numbers too.
  static let word = setWord + #"\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE}"#
  static let hexadecimal = "0-9A-Fa-f"
  /// Nested sets are read recursively.
  private static let deepestNesting = 32

  static func translate(_ pattern: String) throws(TokenizerError) -> String {
    var translator = OnigurumaTranslator(pattern)
    try translator.run()
    return translator.output
  }

  private init(_ source: String) {
    self.source = source
    scalars = Array(source.unicodeScalars)
  }

  private var current: Unicode.Scalar? { place < scalars.count ? scalars[place] : nil }

  private func peek(_ distance: Int = 1) -> Unicode.Scalar? {
    place + distance < scalars.count ? scalars[place + distance] : nil
  }

  private func failure(_ reason: String) -> TokenizerError {
    let offset = scalars.prefix(place).reduce(0) { $0 + UTF8.width($1) }
    return .invalidPattern(pattern: source, reason: reason, offset: offset)
  }

  private mutating func run() throws(TokenizerError) {
    while let scalar = current {
      switch scalar {
      case "\\": try escape()
      case "[": output += try set(depth: 0).text
      case "(": try group()
      case "{": try interval()
      default:
        output.unicodeScalars.append(scalar)
        place += 1
      }
    }
  }

  private mutating func escape() throws(TokenizerError) {
    place += 1
    guard let scalar = current else { throw failure("a backslash at the end") }
    place += 1
    switch scalar {
    case "s": output += "[\(Self.space)]"
    case "S": output += "[^\(Self.space)]"
    case "w": output += "[\(Self.word)]"
    case "W": output += "[^\(Self.word)]"
    case "d": output += #"\p{Nd}"#
    case "D": output += #"\P{Nd}"#
    case "h": output += "[\(Self.hexadecimal)]"
    case "H": output += "[^\(Self.hexadecimal)]"
    case "b": output += "(?:(?<=[\(Self.word)])(?![\(Self.word)])|(?<![\(Self.word)])(?=[\(Self.word)]))"
    case "B": output += "(?:(?<=[\(Self.word)])(?=[\(Self.word)])|(?<![\(Self.word)])(?![\(Self.word)]))"
    case "K", "Q", "E", "C", "N", "O", "y", "Y", "M", "c":
      throw failure("\\\(scalar) is not supported")
    default: output += try character(after: scalar)
    }
  }

  /// An escaped character that means the same inside a set and outside.
  private mutating func character(after scalar: Unicode.Scalar) throws(TokenizerError) -> String {
    switch scalar {
    case "v": return #"\x0B"#
    case "u":
      let digits = scalars.dropFirst(place).prefix(4)
      guard digits.count == 4, digits.allSatisfy(\.properties.isASCIIHexDigit) else {
        throw failure("\\u needs four hexadecimal digits")
      }
      place += 4
      return "\\x{\(String(String.UnicodeScalarView(digits)))}"
    case "p", "P":
      var name = ""
      guard current == "{" else { throw failure("\\\(scalar) needs a name in braces") }
      while let next = current, next != "}" {
        name.unicodeScalars.append(next)
        place += 1
      }
      guard current == "}" else { throw failure("\\\(scalar){ has no end") }
      place += 1
      return "\\\(scalar)\(name)}"
    default: return "\\\(scalar)"
    }
  }

  private mutating func group() throws(TokenizerError) {
    let start = place
    place += 1
    output += "("
    if current == "*" { throw failure("a group can't begin with *") }
    guard current == "?" else { return }
    place += 1
    output += "?"
    switch current {
    case ":", "=", "!", ">":
      break
    case "<":
      place += 1
      output += "<"
    case "#":
      while let next = current, next != ")" {
        output.unicodeScalars.append(next)
        place += 1
      }
    case "i", "m", "x", "-": try options(groupStart: start)
    default: throw failure("this kind of group is not supported")
    }
  }

  private mutating func options(groupStart: Int) throws(TokenizerError) {
    while let scalar = current, scalar != ":", scalar != ")" {
      switch scalar {
      case "i", "x", "-": output.unicodeScalars.append(scalar)
      case "m": output += "s"
      default: throw failure("unknown option \(scalar)")
      }
      place += 1
    }
    if current == ")", groupStart > 0 {
      // Oniguruma lets it reach over all alternatives that follow, PCRE2 does not.
      throw failure("options in the middle of an expression need a group, (?i:…)")
    }
  }

  /// `{,n}` is `{0,n}`; `{n,m}+` repeats the repetition and is refused, for PCRE2 reads it otherwise.
  private mutating func interval() throws(TokenizerError) {
    var end = place + 1
    while end < scalars.count, scalars[end].properties.isASCIIHexDigit || scalars[end] == "," { end += 1 }
    guard end < scalars.count, scalars[end] == "}", end > place + 1 else {
      output += "\\{"
      place += 1
      return
    }
    if end + 1 < scalars.count, scalars[end + 1] == "+" {
      throw failure("a repetition of a repetition, {…}+, is not supported")
    }
    output += "{"
    if peek() == "," { output += "0" }
    output.unicodeScalars.append(contentsOf: scalars[place + 1...end])
    place = end + 1
  }
}

// MARK: Sets

extension OnigurumaTranslator {
  /// An expression for one character of a set; `items` when it is a plain list that can stand in another set.
  private struct CharacterSet {
    var text: String
    var items: String?
  }

  /// One operand of `&&`: a list, and sets that can't be written into the list.
  private struct Operand {
    var items = ""
    var others: [String] = []

    var text: String {
      if others.isEmpty { return "[\(items)]" }
      return "(?:" + ((items.isEmpty ? [] : ["[\(items)]"]) + others).joined(separator: "|") + ")"
    }
  }

  private mutating func set(depth: Int) throws(TokenizerError) -> CharacterSet {
    if depth == Self.deepestNesting { throw failure("sets are nested too deep") }
    place += 1
    let isNegated = current == "^"
    if isNegated { place += 1 }
    var operands = [Operand()]
    var isFirst = true
    // A hyphen behind a class or a set is no range.
    var followsClass = false
    while let scalar = current, scalar != "]" || isFirst {
      isFirst = false
      if scalar == "&", peek() == "&" {
        place += 2
        operands.append(Operand())
      } else if scalar == "-", followsClass {
        place += 1
        operands[operands.count - 1].items += "\\-"
      } else {
        followsClass = try item(into: &operands[operands.count - 1], depth: depth)
        continue
      }
      followsClass = false
    }
    guard current == "]" else { throw failure("a set has no end") }
    place += 1
    return Self.combined(operands, isNegated: isNegated)
  }

  private static func combined(_ operands: [Operand], isNegated: Bool) -> CharacterSet {
    if operands.count == 1, operands[0].others.isEmpty {
      let items = operands[0].items
      return isNegated
        ? CharacterSet(text: "[^\(items)]", items: nil) : CharacterSet(text: "[\(items)]", items: items)
    }
    let conditions = operands.dropLast().map { "(?=\($0.text))" }.joined()
    let body = conditions + operands[operands.count - 1].text
    return CharacterSet(text: isNegated ? "(?:(?!\(body))(?s:.))" : "(?:\(body))", items: nil)
  }

  /// Reads one member; true when it was a class or a set.
  private mutating func item(into operand: inout Operand, depth: Int) throws(TokenizerError) -> Bool {
    guard let scalar = current else { return false }
    if scalar == "[", peek() == ":" {
      while let next = current {
        operand.items.unicodeScalars.append(next)
        place += 1
        if next == "]" { return true }
      }
      return true
    }
    if scalar == "[" {
      let nested = try set(depth: depth + 1)
      if let items = nested.items { operand.items += items } else { operand.others.append(nested.text) }
      return true
    }
    place += 1
    if scalar != "\\" {
      // A hyphen stays bare: between two members it is a range.
      let isLiteral = scalar.isASCII && scalar.properties.generalCategory.isPunctuation && scalar != "-"
      operand.items += isLiteral ? "\\\(scalar)" : String(scalar)
      return false
    }
    guard let escaped = current else { throw failure("a backslash at the end") }
    place += 1
    switch escaped {
    case "s": operand.items += Self.space
    case "w": operand.items += Self.setWord
    case "d": operand.items += #"\p{Nd}"#
    case "D": operand.items += #"\P{Nd}"#
    case "h": operand.items += Self.hexadecimal
    case "S": operand.others.append("[^\(Self.space)]")
    case "W": operand.others.append("[^\(Self.setWord)]")
    case "H": operand.others.append("[^\(Self.hexadecimal)]")
    case "b": operand.items += #"\x08"#
    case "Q", "E", "N", "R", "X", "M", "C", "c": throw failure("\\\(escaped) in a set is not supported")
    default:
      operand.items += try character(after: escaped)
      return escaped == "p" || escaped == "P"
    }
    return escaped != "b"
  }
}

extension Unicode.GeneralCategory {
  /// Punctuation and symbols.
  fileprivate var isPunctuation: Bool {
    switch self {
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
      .finalPunctuation, .otherPunctuation, .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol:
      true
    default: false
    }
  }
}
