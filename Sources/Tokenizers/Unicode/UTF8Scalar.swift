/// Reading and writing scalars in bytes that need not be valid UTF-8.
///
/// A byte that begins no valid sequence is read as one opaque value above all scalars (`opaque + byte`).
/// Such values belong to no class of characters and are written back as the byte they were.
enum UTF8Scalar {
  static let opaque: UInt32 = 0x11_0000

  /// The value at a place, and the number of its bytes. `place` must be inside the text.
  @inline(__always)
  static func decode(_ text: Span<UInt8>, at place: Int) -> (value: UInt32, length: Int) {
    let lead = text[place]
    if lead < 0x80 { return (UInt32(lead), 1) }
    return decodeMultibyte(text, place, lead)
  }

  private static func decodeMultibyte(
    _ text: Span<UInt8>, _ place: Int, _ lead: UInt8
  ) -> (value: UInt32, length: Int) {
    let length: Int
    let least: UInt32
    var value: UInt32
    switch lead {
    case 0xC2...0xDF: (length, least, value) = (2, 0x80, UInt32(lead & 0x1F))
    case 0xE0...0xEF: (length, least, value) = (3, 0x800, UInt32(lead & 0x0F))
    case 0xF0...0xF4: (length, least, value) = (4, 0x1_0000, UInt32(lead & 0x07))
    default: return (opaque + UInt32(lead), 1)
    }
    if text.count - place < length { return (opaque + UInt32(lead), 1) }
    for offset in 1..<length {
      let byte = text[place + offset]
      if byte & 0xC0 != 0x80 { return (opaque + UInt32(lead), 1) }
      value = value << 6 | UInt32(byte & 0x3F)
    }
    if value < least || value > 0x10_FFFF || (0xD800...0xDFFF).contains(value) {
      return (opaque + UInt32(lead), 1)
    }
    return (value, length)
  }

  /// The value that ends before `end`, and the number of its bytes. `end` must not be zero.
  static func decodeLast(_ text: Span<UInt8>, before end: Int) -> (value: UInt32, length: Int) {
    var place = end - 1
    while place > 0, end - place < 4, text[place] & 0xC0 == 0x80 { place -= 1 }
    let last = decode(text.extracting(0..<end), at: place)
    return place + last.length == end ? last : (opaque + UInt32(text[end - 1]), 1)
  }

  @inline(__always)
  static func append(_ value: UInt32, to result: inout [UInt8]) {
    switch value {
    case 0..<0x80: result.append(UInt8(truncatingIfNeeded: value))
    case 0x80..<0x800:
      result.append(0xC0 | UInt8(truncatingIfNeeded: value >> 6))
      result.append(0x80 | UInt8(truncatingIfNeeded: value & 0x3F))
    case 0x800..<0x1_0000:
      result.append(0xE0 | UInt8(truncatingIfNeeded: value >> 12))
      result.append(0x80 | UInt8(truncatingIfNeeded: value >> 6 & 0x3F))
      result.append(0x80 | UInt8(truncatingIfNeeded: value & 0x3F))
    case 0x1_0000..<opaque:
      result.append(0xF0 | UInt8(truncatingIfNeeded: value >> 18))
      result.append(0x80 | UInt8(truncatingIfNeeded: value >> 12 & 0x3F))
      result.append(0x80 | UInt8(truncatingIfNeeded: value >> 6 & 0x3F))
      result.append(0x80 | UInt8(truncatingIfNeeded: value & 0x3F))
    default: result.append(UInt8(truncatingIfNeeded: value))
    }
  }
}

extension Array<UInt8> {
  mutating func append(_ bytes: Span<UInt8>) {
    unsafe bytes.withUnsafeBufferPointer { unsafe append(contentsOf: $0) }
  }
}
