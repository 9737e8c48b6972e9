/// The texts of strings and numbers, shared by the writer and the tree.
enum JSONText {
  /// Escapes what RFC 8259 demands and nothing else (`"`, `\`, bytes below 0x20), as Python's `json` does.
  static func append(quoted string: String, to bytes: inout [UInt8]) {
    let text = string.utf8Span.span
    bytes.append(UInt8(ascii: "\""))
    var start = 0
    while start < text.count {
      var end = start
      while end < text.count, !needsEscape(text[end]) { end += 1 }
      bytes.append(addingCapacity: end - start) { output in
        for index in start..<end { output.append(text[index]) }
      }
      guard end < text.count else { break }
      append(escaped: UInt16(text[end]), to: &bytes)
      start = end + 1
    }
    bytes.append(UInt8(ascii: "\""))
  }

  /// The same, with all but ASCII as UTF-16 units in `\uXXXX` form (`json.dumps` with `ensure_ascii`).
  static func append(quotedASCII string: String, to bytes: inout [UInt8]) {
    bytes.append(UInt8(ascii: "\""))
    for unit in string.utf16 {
      if let byte = UInt8(exactly: unit), byte < 0x80, !needsEscape(byte) {
        bytes.append(byte)
      } else {
        append(escaped: unit, to: &bytes)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }

  private static func needsEscape(_ byte: UInt8) -> Bool {
    byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
  }

  private static func append(escaped unit: UInt16, to bytes: inout [UInt8]) {
    let letter: UInt8? =
      switch unit {
      case 0x22: UInt8(ascii: "\"")
      case 0x5C: UInt8(ascii: "\\")
      case 0x08: UInt8(ascii: "b")
      case 0x0C: UInt8(ascii: "f")
      case 0x0A: UInt8(ascii: "n")
      case 0x0D: UInt8(ascii: "r")
      case 0x09: UInt8(ascii: "t")
      default: nil
      }
    bytes.append(UInt8(ascii: "\\"))
    if let letter {
      bytes.append(letter)
      return
    }
    bytes.append(UInt8(ascii: "u"))
    for shift in stride(from: 12, through: 0, by: -4) {
      let digit = UInt8(truncatingIfNeeded: unit >> shift & 0xF)
      bytes.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
    }
  }
}

extension JSONText {
  static func append(_ value: some FixedWidthInteger, to bytes: inout [UInt8]) {
    bytes.append(contentsOf: String(value).utf8)
  }

  /// The shortest digits that read back as the same value, laid out as Python's `repr` does; `null` for
  /// infinities and NaN.
  static func append(_ value: Double, to bytes: inout [UInt8]) {
    guard value.isFinite else {
      bytes.append(contentsOf: "null".utf8)
      return
    }
    if (0x1p53..<1e16).contains(value.magnitude) {
      // Swift turns to exponents at 2^53, Python at 10^16. All doubles between are whole.
      bytes.append(contentsOf: "\(Int64(value)).0".utf8)
    } else {
      bytes.append(contentsOf: value.description.utf8)
    }
  }

  static func append(_ value: Float, to bytes: inout [UInt8]) {
    bytes.append(contentsOf: (value.isFinite ? value.description : "null").utf8)
  }
}
