extension Unicode.Scalar {
  /// What `str.isspace`, `str.strip` and `\s` take for white space: Unicode's, and the four ASCII separators.
  var isPythonWhitespace: Bool {
    switch value {
    case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F,
      0x3000:
      true
    default: false
    }
  }
}

extension StringProtocol {
  func trimmingPrefix(where matches: (Unicode.Scalar) -> Bool) -> SubSequence {
    let scalars = unicodeScalars
    return self[(scalars.firstIndex { !matches($0) } ?? endIndex)...]
  }

  func trimmingSuffix(where matches: (Unicode.Scalar) -> Bool) -> SubSequence {
    var end = endIndex
    let scalars = unicodeScalars
    while end > startIndex {
      let before = scalars.index(before: end)
      guard matches(scalars[before]) else { break }
      end = before
    }
    return self[..<end]
  }
}
