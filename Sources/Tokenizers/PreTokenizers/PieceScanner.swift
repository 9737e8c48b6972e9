/// Hand-written equivalents of the regular expressions that most language models split text by.
///
/// Each finds the piece that begins at a place; pieces follow each other without gaps. Much faster than a
/// regular expression, in time linear in the text; the tests hold them to the expressions' own answers.
struct PieceScanner: Sendable {
  enum Style: Equatable, Sendable {
    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    case gpt2
    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,n}| ?[^\s\p{L}\p{N}]+[\r\n]*`
    /// `|\s*[\r\n]+|\s+(?!\S)|\s+`
    case words(digits: Int)
  }

  let style: Style
  private let kinds: [UInt8]

  private enum Kind {
    static let other: UInt8 = 0
    static let letter: UInt8 = 1
    static let number: UInt8 = 2
    static let space: UInt8 = 3
    /// CR and LF, which are spaces too.
    static let newline: UInt8 = 4
  }

  init(_ style: Style) {
    self.style = style
    kinds = Self.denseKinds
  }

  /// The scanner that is equal to an expression, if there is one.
  init?(expression: String) {
    guard let style = Self.expressions[expression] else { return nil }
    self.init(style)
  }

  private static let expressions: [String: Style] = [
    gpt2Expression: .gpt2,
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#:
      .words(digits: 3),
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#:
      .words(digits: 1),
  ]

  static let gpt2Expression =
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  private static let denseKinds: [UInt8] = UnicodeTables.denseFlags.enumerated().map { scalar, flags in
    switch scalar {
    case 0x0A, 0x0D: Kind.newline
    case _ where ScalarFlags.isWhitespace(UInt32(scalar)): Kind.space
    default: flags & 3
    }
  }

  /// Where the piece that begins at `start` ends. `start` must be inside the text.
  @inline(__always)
  func end(in text: Span<UInt8>, from start: Int) -> Int {
    switch style {
    case .gpt2: gpt2End(text, start)
    case .words(let digits): wordsEnd(text, start, digits: digits)
    }
  }

  private func gpt2End(_ text: Span<UInt8>, _ start: Int) -> Int {
    let first = kind(text, start)
    switch first.kind {
    case Kind.letter, Kind.number: return run(of: first.kind, text, start + first.length)
    case Kind.other:
      if text[start] == UInt8(ascii: "'") {
        let length = contraction(text, start, ignoringCase: false)
        if length > 0 { return start + length }
      }
      return run(of: Kind.other, text, start + first.length)
    default:
      if text[start] == UInt8(ascii: " "), start + 1 < text.count {
        let next = kind(text, start + 1)
        if next.kind < Kind.space { return run(of: next.kind, text, start + 1 + next.length) }
      }
      return spacesEnd(text, start, stopsAfterNewlines: false)
    }
  }

  private func wordsEnd(_ text: Span<UInt8>, _ start: Int, digits: Int) -> Int {
    let first = kind(text, start)
    let second = start + first.length
    switch first.kind {
    case Kind.letter: return run(of: Kind.letter, text, second)
    case Kind.number:
      var end = second
      var count = 1
      while count < digits, end < text.count {
        let next = kind(text, end)
        if next.kind != Kind.number { break }
        end += next.length
        count += 1
      }
      return end
    case Kind.other:
      if text[start] == UInt8(ascii: "'") {
        let length = contraction(text, start, ignoringCase: true)
        if length > 0 { return start + length }
      }
      if second < text.count {
        let next = kind(text, second)
        if next.kind == Kind.letter { return run(of: Kind.letter, text, second + next.length) }
      }
      return newlinesEnd(text, run(of: Kind.other, text, second))
    case Kind.space:
      if second < text.count {
        let next = kind(text, second)
        if next.kind == Kind.letter { return run(of: Kind.letter, text, second + next.length) }
        if next.kind == Kind.other, text[start] == UInt8(ascii: " ") {
          return newlinesEnd(text, run(of: Kind.other, text, second + next.length))
        }
      }
      return spacesEnd(text, start, stopsAfterNewlines: true)
    default: return spacesEnd(text, start, stopsAfterNewlines: true)
    }
  }
}

extension PieceScanner {
  @inline(__always)
  private func kind(_ text: Span<UInt8>, _ place: Int) -> (kind: UInt8, length: Int) {
    let byte = text[place]
    if byte < 0x80 { return (kinds[Int(byte)], 1) }
    let (scalar, length) = UTF8Scalar.decode(text, at: place)
    if scalar < UInt32(UnicodeTables.denseEnd) { return (kinds[Int(scalar)], length) }
    return (UnicodeTables.sparseFlags(scalar).rawValue & 3, length)
  }

  /// The end of the characters of one kind from `place` on.
  @inline(__always)
  private func run(of wanted: UInt8, _ text: Span<UInt8>, _ place: Int) -> Int {
    let kinds = kinds.span
    var end = place
    while end < text.count {
      let byte = unsafe text[unchecked: end]
      if byte < 0x80 {
        if unsafe kinds[unchecked: Int(byte)] != wanted { break }
        end += 1
      } else {
        let next = kind(text, end)
        if next.kind != wanted { break }
        end += next.length
      }
    }
    return end
  }

  private func newlinesEnd(_ text: Span<UInt8>, _ place: Int) -> Int {
    var end = place
    while end < text.count, text[end] == 0x0A || text[end] == 0x0D { end += 1 }
    return end
  }

  /// The end of a piece of white space: all of it at the end of the text, else all but the last character,
  /// which goes with what follows. `stopsAfterNewlines`: after its last line break, if it has one.
  private func spacesEnd(_ text: Span<UInt8>, _ start: Int, stopsAfterNewlines: Bool) -> Int {
    var end = start
    var last = start
    var afterNewline = start
    while end < text.count {
      let next = kind(text, end)
      if next.kind < Kind.space { break }
      last = end
      end += next.length
      if next.kind == Kind.newline { afterNewline = end }
    }
    if stopsAfterNewlines, afterNewline > start { return afterNewline }
    return end == text.count || last == start ? end : last
  }

  /// The length of `'s`, `'t`, `'m`, `'d`, `'re`, `'ve` or `'ll` at an apostrophe, or 0.
  /// Without regard to case "ſ" (U+017F) is an s, as in Unicode's case folding.
  private func contraction(_ text: Span<UInt8>, _ start: Int, ignoringCase: Bool) -> Int {
    let fold: UInt8 = ignoringCase ? 0x20 : 0
    guard start + 1 < text.count else { return 0 }
    let first = text[start + 1]
    let second = start + 2 < text.count ? text[start + 2] : 0
    switch first | fold {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return 2
    case UInt8(ascii: "r"), UInt8(ascii: "v"): return second | fold == UInt8(ascii: "e") ? 3 : 0
    case UInt8(ascii: "l"): return second | fold == UInt8(ascii: "l") ? 3 : 0
    default: return ignoringCase && first == 0xC5 && second == 0xBF ? 3 : 0
    }
  }
}
