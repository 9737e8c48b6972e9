/// Cuts a template into tokens, with white space as Hugging Face sets Jinja up:
///
///     trim_blocks     the newline right behind `%}` or `#}` goes
///     lstrip_blocks   blanks between the start of a line and `{%` or `{#` go
///     {%- -%}         all white space on that side goes; {%+ +%} keeps what the two above would take
///
/// The last newline of the source goes too, and `\r\n` and `\r` are read as `\n`.
struct TemplateLexer {
  let source: [UInt8]
  var position = 0
  var line = 1
  var tokens: [TemplateToken] = []
  /// Closers of the brackets that are open inside a tag; `}}` ends a tag only when there are none.
  var brackets: [TemplateToken.Symbol] = []

  /// - Throws: the problem, with the line in `line`.
  static func tokens(of source: String) throws(TemplateError) -> [TemplateToken] {
    var lexer = TemplateLexer(source: normalised(source))
    do {
      try lexer.run()
    } catch {
      throw TemplateError(error, line: lexer.line)
    }
    return lexer.tokens
  }

  private static func normalised(_ source: String) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(source.utf8.count)
    var previous: UInt8 = 0
    for byte in source.utf8 {
      switch byte {
      case UInt8(ascii: "\r"): bytes.append(UInt8(ascii: "\n"))
      case UInt8(ascii: "\n") where previous == UInt8(ascii: "\r"): break
      default: bytes.append(byte)
      }
      previous = byte
    }
    if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
    return bytes
  }

  private mutating func run() throws(TemplateProblem) {
    while let begin = nextTag() {
      let sign = position(begin + 2, isOneOf: "-+")
      var text = source[position..<begin]
      if sign == UInt8(ascii: "-") {
        text = trimmedEnd(text)
      } else if sign == nil, source[begin + 1] != UInt8(ascii: "{") {
        text = trimmedLineStart(text)
      }
      emit(data: text)
      advance(to: begin)
      let kind = source[begin + 1]
      if kind == UInt8(ascii: "%"), let content = endOfRawBegin(from: begin) {
        advance(to: content)
        try raw()
        continue
      }
      advance(to: begin + (sign == nil ? 2 : 3))
      switch kind {
      case UInt8(ascii: "#"): try comment()
      case UInt8(ascii: "%"): try tag(.blockBegin, end: .blockEnd)
      default: try tag(.variableBegin, end: .variableEnd)
      }
    }
    emit(data: source[position...])
    advance(to: source.count)
    emit(.end)
  }

  /// Where the next `{{`, `{%` or `{#` is.
  private func nextTag() -> Int? {
    var place = position
    while place + 1 < source.count {
      if source[place] == UInt8(ascii: "{") {
        let next = source[place + 1]
        if next == UInt8(ascii: "{") || next == UInt8(ascii: "%") || next == UInt8(ascii: "#") {
          return place
        }
      }
      place += 1
    }
    return nil
  }

  private mutating func comment() throws(TemplateProblem) {
    var place = position
    while place < source.count {
      if let end = tagEnd(at: place, mark: UInt8(ascii: "#")) {
        advance(to: end)
        return
      }
      place += 1
    }
    throw .syntax("missing end of comment '#}'")
  }

  /// The end of `{% raw %}`, if that stands here.
  private func endOfRawBegin(from begin: Int) -> Int? {
    guard let name = wordEnd("raw", inTagAt: begin) else { return nil }
    if matches("-%}", at: name) { return skipWhitespace(from: name + 3) }
    return matches("%}", at: name) ? name + 2 : nil
  }

  private mutating func raw() throws(TemplateProblem) {
    var place = position
    while place < source.count {
      if matches("{%", at: place), let name = wordEnd("endraw", inTagAt: place),
        let end = tagEnd(at: name, mark: UInt8(ascii: "%"))
      {
        let text = source[position..<place]
        let sign = self.position(place + 2, isOneOf: "-+")
        emit(
          data: sign == UInt8(ascii: "-")
            ? trimmedEnd(text) : sign == nil ? trimmedLineStart(text) : text)
        advance(to: end)
        return
      }
      place += 1
    }
    throw .syntax("missing end of raw block '{% endraw %}'")
  }

  /// Behind `word` and the blanks around it, when the tag that begins at `begin` starts with it.
  private func wordEnd(_ word: String, inTagAt begin: Int) -> Int? {
    let sign = position(begin + 2, isOneOf: "-+")
    let start = skipWhitespace(from: begin + (sign == nil ? 2 : 3))
    guard matches(word, at: start) else { return nil }
    return skipWhitespace(from: start + word.utf8.count)
  }
}

extension TemplateLexer {
  /// Where the text behind a tag starts, if `mark}` stands at `place`, with or without white space control.
  func tagEnd(at place: Int, mark: UInt8) -> Int? {
    let sign = position(place, isOneOf: "-+")
    let close = sign == nil ? place : place + 1
    guard close + 1 < source.count, source[close] == mark, source[close + 1] == UInt8(ascii: "}") else {
      return nil
    }
    switch sign {
    case UInt8(ascii: "-"): return skipWhitespace(from: close + 2)
    case UInt8(ascii: "+"): return close + 2
    default: return position(close + 2, isOneOf: "\n") == nil ? close + 2 : close + 3
    }
  }

  func matches(_ text: String, at place: Int) -> Bool {
    var place = place
    for byte in text.utf8 {
      guard place < source.count, source[place] == byte else { return false }
      place += 1
    }
    return true
  }

  /// The byte at this place if it is one of these.
  func position(_ place: Int, isOneOf bytes: String) -> UInt8? {
    guard place < source.count, bytes.utf8.contains(source[place]) else { return nil }
    return source[place]
  }

  func skipWhitespace(from start: Int) -> Int {
    var place = start
    while let (scalar, length) = scalar(at: place), scalar.isPythonWhitespace { place += length }
    return place
  }

  /// The source is valid UTF-8, as it came from a string.
  func scalar(at place: Int) -> (scalar: Unicode.Scalar, length: Int)? {
    guard place < source.count else { return nil }
    if source[place] < 0x80 { return (Unicode.Scalar(source[place]), 1) }
    let scalar = String(decoding: source[place..<min(place + 4, source.count)], as: UTF8.self).unicodeScalars
      .first
    return scalar.map { ($0, UTF8.width($0)) }
  }

  mutating func emit(_ kind: TemplateToken.Kind) { tokens.append(TemplateToken(kind: kind, line: line)) }

  mutating func advance(to place: Int) {
    line += source[position..<place].count { $0 == UInt8(ascii: "\n") }
    position = place
  }

  private mutating func emit(data: ArraySlice<UInt8>) {
    if !data.isEmpty { emit(.data(String(decoding: data, as: UTF8.self))) }
  }

  private func trimmedEnd(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    let kept = String(decoding: text, as: UTF8.self).trimmingSuffix(where: \.isPythonWhitespace)
    return text.prefix(kept.utf8.count)
  }

  /// Without the white space between the start of the line and the tag, if nothing else is there.
  private func trimmedLineStart(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    let lineStart = text.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 }
    let startsLine = text.startIndex == 0 || source[text.startIndex - 1] == UInt8(ascii: "\n")
    guard let start = lineStart ?? (startsLine ? text.startIndex : nil) else { return text }
    let blank = String(decoding: text[start...], as: UTF8.self).unicodeScalars.allSatisfy(
      \.isPythonWhitespace)
    return blank ? text[..<start] : text
  }
}
