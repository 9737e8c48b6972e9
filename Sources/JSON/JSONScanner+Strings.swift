extension JSONScanner {
  package mutating func string() throws(JSONError) -> String {
    let run = try openString()
    if bytes[run.upperBound] == UInt8(ascii: "\"") {
      position = run.upperBound + 1
      return try text(of: run)
    }
    var unescaped: [UInt8] = []
    try appendUnescaped(from: run, to: &unescaped)
    return String(decoding: unescaped, as: UTF8.self)
  }

  /// Appends the next string's UTF-8 bytes to `buffer`.
  package mutating func string(into buffer: inout [UInt8]) throws(JSONError) {
    try appendUnescaped(from: try openString(), to: &buffer)
  }

  mutating func skipString() throws(JSONError) {
    var run = try openString()
    while true {
      try validate(run)
      if bytes[run.upperBound] == UInt8(ascii: "\"") {
        position = run.upperBound + 1
        return
      }
      position = run.upperBound
      _ = try escape()
      run = try plainRun()
    }
  }

  private mutating func openString() throws(JSONError) -> Range<Int> {
    try require(.string)
    position += 1
    return try plainRun()
  }

  /// From here up to the first `"` or `\`. Whether it is valid UTF-8 is not yet known.
  private func plainRun() throws(JSONError) -> Range<Int> {
    let text = bytes.span
    var end = position
    while end < text.count {
      let byte = text[end]
      if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { return position..<end }
      if byte < 0x20 { throw error(.controlCharacter(byte), at: end) }
      end += 1
    }
    throw error(.unexpectedEnd, at: end)
  }

  /// Ends the string whose first plain run is given, and moves behind its closing quote.
  private mutating func appendUnescaped(from first: Range<Int>, to buffer: inout [UInt8]) throws(JSONError) {
    var run = first
    while true {
      try validate(run)
      buffer.append(contentsOf: bytes[run])
      if bytes[run.upperBound] == UInt8(ascii: "\"") {
        position = run.upperBound + 1
        return
      }
      position = run.upperBound
      let scalar = try escape()
      buffer.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
      run = try plainRun()
    }
  }

  /// Reads one escape sequence, from its backslash.
  private mutating func escape() throws(JSONError) -> Unicode.Scalar {
    let start = position
    guard start + 1 < bytes.count else { throw error(.unexpectedEnd, at: bytes.count) }
    position += 2
    switch bytes[start + 1] {
    case UInt8(ascii: "\""): return "\""
    case UInt8(ascii: "\\"): return "\\"
    case UInt8(ascii: "/"): return "/"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"): return try unicodeEscape(from: start)
    default: throw error(.invalidEscape, at: start)
    }
  }

  /// The scalar of `\uXXXX`, or of a surrogate pair `\uD83D\uDE00`; the position is behind the first `\u`.
  private mutating func unicodeEscape(from start: Int) throws(JSONError) -> Unicode.Scalar {
    let unit = try hexadecimalUnit()
    if let scalar = Unicode.Scalar(unit) { return scalar }
    guard UTF16.isLeadSurrogate(unit), position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
      bytes[position + 1] == UInt8(ascii: "u")
    else { throw error(.loneSurrogate(unit), at: start) }
    position += 2
    let trail = try hexadecimalUnit()
    let value = 0x10000 + (UInt32(unit & 0x3FF) << 10 | UInt32(trail & 0x3FF))
    guard UTF16.isTrailSurrogate(trail), let scalar = Unicode.Scalar(value) else {
      throw error(.loneSurrogate(unit), at: start)
    }
    return scalar
  }

  private mutating func hexadecimalUnit() throws(JSONError) -> UInt16 {
    var unit: UInt16 = 0
    for _ in 0..<4 {
      guard position < bytes.count else { throw error(.unexpectedEnd) }
      guard let digit = Unicode.Scalar(bytes[position]).hexadecimalValue else { throw error(.invalidEscape) }
      unit = unit << 4 | digit
      position += 1
    }
    return unit
  }

  private func text(of run: Range<Int>) throws(JSONError) -> String {
    do {
      return String(copying: try UTF8Span(validating: bytes.span.extracting(run)))
    } catch {
      throw self.error(.invalidUTF8, at: run.lowerBound + error.byteOffsets.lowerBound)
    }
  }

  private func validate(_ run: Range<Int>) throws(JSONError) {
    do {
      _ = try UTF8Span(validating: bytes.span.extracting(run))
    } catch {
      throw self.error(.invalidUTF8, at: run.lowerBound + error.byteOffsets.lowerBound)
    }
  }
}

extension Unicode.Scalar {
  fileprivate var hexadecimalValue: UInt16? {
    switch self {
    case "0"..."9": UInt16(value - 0x30)
    case "a"..."f": UInt16(value - 0x61 + 10)
    case "A"..."F": UInt16(value - 0x41 + 10)
    default: nil
    }
  }
}
