/// The 256 printable characters that byte-level tokenizers write bytes with (GPT-2's `bytes_to_unicode`).
///
/// Printable Latin-1 bytes stand for themselves; the 68 others are U+0100…U+0143 in order: a space is "Ġ".
enum ByteAlphabet {
  /// By byte.
  static let scalars: [UInt16] = {
    var next: UInt16 = 0x100
    return (0...255).map { (byte: UInt16) in
      if isPrintable(byte) { return byte }
      next += 1
      return next - 1
    }
  }()

  /// By scalar, for the scalars below `end`; -1 for those that stand for no byte.
  private static let bytes: [Int16] = {
    var bytes = [Int16](repeating: -1, count: end)
    for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar)] = Int16(byte) }
    return bytes
  }()

  private static let end = 0x144

  private static func isPrintable(_ byte: UInt16) -> Bool {
    (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte)
  }

  /// Appends the bytes that the characters of `text` stand for; false, and nothing is appended, when one of
  /// them stands for no byte.
  static func appendBytes(of text: Span<UInt8>, to result: inout [UInt8]) -> Bool {
    let start = result.count
    let table = bytes.span
    var place = 0
    while place < text.count {
      let (scalar, length) = UTF8Scalar.decode(text, at: place)
      let byte = scalar < UInt32(end) ? table[Int(scalar)] : -1
      if byte < 0 {
        result.removeLast(result.count - start)
        return false
      }
      result.append(UInt8(truncatingIfNeeded: byte))
      place += length
    }
    return true
  }

  /// Appends the characters that stand for these bytes.
  static func appendText(of bytes: Span<UInt8>, to result: inout [UInt8]) {
    let table = scalars.span
    for index in bytes.indices { UTF8Scalar.append(UInt32(table[Int(bytes[index])]), to: &result) }
  }
}
