extension TemplateLexer {
  /// Reads the inside of `{{ … }}` or `{% … %}`, from behind its opener to behind its closer.
  mutating func tag(_ begin: TemplateToken.Kind, end: TemplateToken.Kind) throws(TemplateProblem) {
    emit(begin)
    brackets = []
    while true {
      if brackets.isEmpty,
        let close = end == .blockEnd ? tagEnd(at: position, mark: UInt8(ascii: "%")) : variableEnd()
      {
        emit(end)
        advance(to: close)
        return
      }
      guard let (scalar, length) = scalar(at: position) else {
        throw .syntax("unexpected end of the template inside a tag, expected \(end)")
      }
      switch scalar {
      case _ where scalar.isPythonWhitespace: advance(to: position + length)
      case "0"..."9": try number()
      case "'", "\"": try string(quote: UInt8(ascii: scalar))
      case "_": name()
      case _ where scalar.properties.isXIDStart: name()
      default: try symbol(scalar)
      }
    }
  }

  /// `-}}` or `}}`; unlike a block's end it leaves a newline alone.
  private func variableEnd() -> Int? {
    if matches("-}}", at: position) { return skipWhitespace(from: position + 3) }
    return matches("}}", at: position) ? position + 2 : nil
  }

  private mutating func name() {
    let start = position
    var end = position
    while let (scalar, length) = scalar(at: end), scalar == "_" || scalar.properties.isXIDContinue {
      end += length
    }
    emit(.name(String(decoding: source[start..<end], as: UTF8.self)))
    position = end
  }

  private mutating func symbol(_ scalar: Unicode.Scalar) throws(TemplateProblem) {
    guard let symbol = TemplateToken.Symbol.allCases.first(where: { matches($0.rawValue, at: position) })
    else {
      throw .syntax("unexpected character '\(scalar)'")
    }
    switch symbol {
    case .leftParenthesis: brackets.append(.rightParenthesis)
    case .leftBracket: brackets.append(.rightBracket)
    case .leftBrace: brackets.append(.rightBrace)
    case .rightParenthesis, .rightBracket, .rightBrace:
      guard let expected = brackets.popLast() else { throw .syntax("unexpected '\(symbol.rawValue)'") }
      if symbol != expected {
        throw .syntax("unexpected '\(symbol.rawValue)', expected '\(expected.rawValue)'")
      }
    default: break
    }
    emit(.symbol(symbol))
    position += symbol.rawValue.utf8.count
  }
}

extension TemplateLexer {
  /// `12`, `1_000`, `0x1F`, `0b1`, `0o7`, `1.5`, `2e3`, `1_0.2_5e-1_0`.
  private mutating func number() throws(TemplateProblem) {
    if let end = floatEnd() {
      guard let value = Double(digits(position..<end)) else { throw .syntax("malformed number") }
      emit(.float(value))
      position = end
      return
    }
    for (prefix, radix) in [("0b", 2), ("0o", 8), ("0x", 16)]
    where matches(prefix, at: position) || matches(prefix.uppercased(), at: position) {
      let first = position(position + 2, isOneOf: "_") == nil ? position + 2 : position + 3
      if let end = digitsEnd(from: first, radix: radix) {
        return try emitInteger(first..<end, radix: radix)
      }
    }
    // Of `07` only the zero is a number, as in Jinja, where the 7 is then a syntax error.
    let isZero = source[position] == UInt8(ascii: "0")
    try emitInteger(position..<(digitsEnd(from: position, radix: isZero ? 1 : 10) ?? position + 1), radix: 10)
  }

  private mutating func emitInteger(_ range: Range<Int>, radix: Int) throws(TemplateProblem) {
    guard let value = Int64(digits(range), radix: radix) else { throw .integerOverflow }
    emit(.integer(value))
    position = range.upperBound
  }

  private func digits(_ range: Range<Int>) -> String {
    String(decoding: source[range].filter { $0 != UInt8(ascii: "_") }, as: UTF8.self)
  }

  /// Behind a run of digits (1 is the radix of zeros only) that single underscores may separate.
  private func digitsEnd(from start: Int, radix: Int) -> Int? {
    func isDigit(_ place: Int) -> Bool {
      guard place < source.count else { return false }
      let digit: Int
      switch source[place] {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = Int(source[place] - UInt8(ascii: "0"))
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = Int(source[place] - UInt8(ascii: "a")) + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = Int(source[place] - UInt8(ascii: "A")) + 10
      default: return false
      }
      return digit < radix
    }
    guard isDigit(start) else { return nil }
    var end = start + 1
    while true {
      if isDigit(end) {
        end += 1
      } else if position(end, isOneOf: "_") != nil, isDigit(end + 1) {
        end += 2
      } else {
        return end
      }
    }
  }

  /// The end of a number with a fraction or an exponent. Behind a dot (`x.0.1`) there are only whole numbers.
  private func floatEnd() -> Int? {
    if position > 0, source[position - 1] == UInt8(ascii: ".") { return nil }
    guard let whole = digitsEnd(from: position, radix: 10) else { return nil }
    let dot = position(whole, isOneOf: ".")
    let fraction = dot.flatMap { _ in digitsEnd(from: whole + 1, radix: 10) }
    let mantissa = fraction ?? whole
    if position(mantissa, isOneOf: "eE") != nil {
      let sign = position(mantissa + 1, isOneOf: "+-")
      if let end = digitsEnd(from: mantissa + (sign == nil ? 1 : 2), radix: 10) { return end }
    }
    return fraction
  }
}

extension TemplateLexer {
  /// A string with Python's escapes; it may span lines.
  private mutating func string(quote: UInt8) throws(TemplateProblem) {
    var text: [UInt8] = []
    var place = position + 1
    while place < source.count, source[place] != quote {
      guard source[place] == UInt8(ascii: "\\") else {
        text.append(source[place])
        place += 1
        continue
      }
      guard place + 1 < source.count else { break }
      let escape = try escapedText(at: place)
      text.append(contentsOf: escape.text.utf8)
      place = escape.end
    }
    guard place < source.count else { throw .syntax("a string is not ended") }
    emit(.string(String(decoding: text, as: UTF8.self)))
    advance(to: place + 1)
  }

  /// What the escape sequence whose backslash is at `place` stands for. Unknown ones stand for themselves.
  private func escapedText(at place: Int) throws(TemplateProblem) -> (text: String, end: Int) {
    let simple: [UInt8: String] = [
      UInt8(ascii: "n"): "\n", UInt8(ascii: "t"): "\t", UInt8(ascii: "r"): "\r", UInt8(ascii: "\\"): "\\",
      UInt8(ascii: "'"): "'", UInt8(ascii: "\""): "\"", UInt8(ascii: "a"): "\u{7}",
      UInt8(ascii: "b"): "\u{8}",
      UInt8(ascii: "f"): "\u{C}", UInt8(ascii: "v"): "\u{B}", UInt8(ascii: "\n"): "",
    ]
    let letter = source[place + 1]
    if let text = simple[letter] { return (text, place + 2) }
    switch letter {
    case UInt8(ascii: "x"): return try codePoint(place + 2..<place + 4)
    case UInt8(ascii: "u"): return try codePoint(place + 2..<place + 6)
    case UInt8(ascii: "U"): return try codePoint(place + 2..<place + 10)
    case UInt8(ascii: "N"): throw .syntax("characters can't be written by name ('\\N{…}')")
    case UInt8(ascii: "0")...UInt8(ascii: "7"):
      let octal = source[(place + 1)...].prefix(3).prefix {
        (UInt8(ascii: "0")...UInt8(ascii: "7")).contains($0)
      }
      let value = octal.reduce(0) { $0 * 8 + UInt32($1 - UInt8(ascii: "0")) }
      return (Unicode.Scalar(value).map { String($0) } ?? "", octal.endIndex)
    default: return ("\\", place + 1)
    }
  }

  private func codePoint(_ range: Range<Int>) throws(TemplateProblem) -> (text: String, end: Int) {
    guard range.upperBound <= source.count,
      source[range].allSatisfy({ Unicode.Scalar($0).properties.isASCIIHexDigit }),
      let value = UInt32(String(decoding: source[range], as: UTF8.self), radix: 16)
    else { throw .syntax("an escape sequence in a string is cut short") }
    guard let scalar = Unicode.Scalar(value) else {
      throw .syntax("an escape sequence in a string names no character")
    }
    return (String(scalar), range.upperBound)
  }
}
