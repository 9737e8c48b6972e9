/// Python's string operations. They count and compare code points, never grapheme clusters.
extension String {
  /// The byte offset of the first occurrence at or behind `start`.
  func firstPlace(of part: String, from start: Int = 0) -> Int? {
    utf8Span.span.firstPlace(of: part.utf8Span.span, from: start)
  }

  /// The byte offset of the last occurrence.
  func lastPlace(of part: String) -> Int? {
    reversedBytes.firstPlace(of: part.reversedBytes, from: 0).map { utf8.count - part.utf8.count - $0 }
  }

  private var reversedBytes: [UInt8] { utf8.reversed() }

  /// The text between two byte offsets, which must lie between characters.
  func text(_ range: Range<Int>) -> String {
    String(self[utf8Index(range.lowerBound)..<utf8Index(range.upperBound)])
  }

  private func utf8Index(_ offset: Int) -> Index { utf8.index(startIndex, offsetBy: offset) }

  /// `str.replace`; a negative limit is none.
  func replacingPython(_ old: String, with new: String, limit: Int64 = -1) -> String {
    var left = limit < 0 ? Int64.max : limit
    if old.isEmpty { return interleaved(with: new, limit: left) }
    var result = ""
    var start = 0
    while left > 0, let place = firstPlace(of: old, from: start) {
      result += text(start..<place)
      result += new
      start = place + old.utf8.count
      left -= 1
    }
    return start == 0 && left == (limit < 0 ? Int64.max : limit) ? self : result + text(start..<utf8.count)
  }

  /// An empty string is found before each character and at the end.
  private func interleaved(with new: String, limit: Int64) -> String {
    var left = limit
    var result = ""
    for scalar in unicodeScalars {
      if left > 0 {
        result += new
        left -= 1
      }
      result.unicodeScalars.append(scalar)
    }
    return left > 0 ? result + new : result
  }

  /// `str.split(separator, limit)`
  func splitPython(by separator: String, limit: Int64) -> [String] {
    var parts: [String] = []
    var start = 0
    while limit < 0 || parts.count < limit, let place = firstPlace(of: separator, from: start) {
      parts.append(text(start..<place))
      start = place + separator.utf8.count
    }
    return parts + [text(start..<utf8.count)]
  }

  /// `str.rsplit(separator, limit)`
  func splitPythonFromEnd(by separator: String, limit: Int64) -> [String] {
    let (bytes, reversedSeparator) = (reversedBytes, separator.reversedBytes)
    var parts: [String] = []
    var start = 0
    func part(_ range: Range<Int>) -> String { String(decoding: bytes[range].reversed(), as: UTF8.self) }
    while limit < 0 || parts.count < limit, let place = bytes.firstPlace(of: reversedSeparator, from: start) {
      parts.append(part(start..<place))
      start = place + separator.utf8.count
    }
    return (parts + [part(start..<bytes.count)]).reversed()
  }

  /// `str.split(None, limit)`: runs of white space separate, and none is left at the ends.
  func splitPythonWhitespace(limit: Int64) -> [String] {
    var parts: [String] = []
    var rest = self[...].trimmingPrefix(where: \.isPythonWhitespace)
    while !rest.isEmpty {
      if limit >= 0, parts.count >= limit {
        parts.append(String(rest))
        break
      }
      let scalars = rest.unicodeScalars
      let end = scalars.firstIndex(where: \.isPythonWhitespace) ?? rest.endIndex
      parts.append(String(rest[..<end]))
      rest = rest[end...].trimmingPrefix(where: \.isPythonWhitespace)
    }
    return parts
  }

  func splitPythonWhitespaceFromEnd(limit: Int64) -> [String] {
    var parts: [String] = []
    var rest = self[...].trimmingSuffix(where: \.isPythonWhitespace)
    while !rest.isEmpty {
      if limit >= 0, parts.count >= limit {
        parts.append(String(rest))
        break
      }
      let word = rest.trimmingSuffix { !$0.isPythonWhitespace }
      parts.append(String(rest[word.endIndex...]))
      rest = word.trimmingSuffix(where: \.isPythonWhitespace)
    }
    return parts.reversed()
  }

  /// `str.splitlines`: Python knows more line ends than `\n`.
  func splitPythonLines(keepingEnds: Bool) -> [String] {
    var lines: [String] = []
    var line = String.UnicodeScalarView()
    var ended = true
    var scalars = unicodeScalars.makeIterator()
    var next = scalars.next()
    while let scalar = next {
      next = scalars.next()
      ended = false
      switch scalar.value {
      case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029:
        if keepingEnds { line.append(scalar) }
        if scalar == "\r", next == "\n" {
          if keepingEnds { line.append("\n") }
          next = scalars.next()
        }
        lines.append(String(line))
        line = String.UnicodeScalarView()
        ended = true
      default: line.append(scalar)
      }
    }
    return ended ? lines : lines + [String(line)]
  }

  /// `str.strip(characters)` and its one-sided kin; nil strips white space.
  func strippedPython(_ characters: String?, start: Bool = true, end: Bool = true) -> String {
    let set = characters.map { Set($0.unicodeScalars) }
    let matches = { (scalar: Unicode.Scalar) in set?.contains(scalar) ?? scalar.isPythonWhitespace }
    var rest = self[...]
    if start { rest = rest.trimmingPrefix(where: matches) }
    if end { rest = rest.trimmingSuffix(where: matches) }
    return String(rest)
  }

  /// `str.title`: the first letter of each run of letters large, the others small.
  func titledPython() -> String {
    var isInWord = false
    return mappingScalars { scalar, lowered in
      defer { isInWord = scalar.properties.isCased }
      return isInWord ? lowered() : scalar.properties.titlecaseMapping
    }
  }

  func capitalizedPython() -> String {
    var isFirst = true
    return mappingScalars { scalar, lowered in
      defer { isFirst = false }
      return isFirst ? scalar.properties.titlecaseMapping : lowered()
    }
  }

  func swappedCasePython() -> String {
    mappingScalars { scalar, lowered in
      let properties = scalar.properties
      if properties.isUppercase { return lowered() }
      return properties.isLowercase ? properties.uppercaseMapping : String(scalar)
    }
  }

  /// `str.lower`
  func loweredPython() -> String {
    unicodeScalars.contains("\u{3A3}") ? mappingScalars { _, lowered in lowered() } : lowercased()
  }

  /// `transform` gets each character and what makes it small; a sigma at a word's end has a form of its own.
  private func mappingScalars(_ transform: (Unicode.Scalar, () -> String) -> String) -> String {
    let scalars = Array(unicodeScalars)
    func lowered(_ index: Int) -> String {
      guard scalars[index] == "\u{3A3}" else { return scalars[index].properties.lowercaseMapping }
      let before = scalars[..<index].last { !$0.properties.isCaseIgnorable }
      let after = scalars[(index + 1)...].first { !$0.properties.isCaseIgnorable }
      let endsWord = before?.properties.isCased == true && after?.properties.isCased != true
      return endsWord ? "\u{3C2}" : "\u{3C3}"
    }
    var result = ""
    for index in scalars.indices { result += transform(scalars[index]) { lowered(index) } }
    return result
  }
}
