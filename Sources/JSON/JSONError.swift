/// Why and where a text is not the JSON that was asked for.
package struct JSONError: Error, Equatable, Sendable {
  package enum Kind: Equatable, Sendable {
    case unexpectedEnd
    case unexpectedCharacter(UInt8, expected: String)
    /// A value or text follows the end of the document.
    case trailingCharacters
    /// A string holds a byte below 0x20 that must be written as an escape.
    case controlCharacter(UInt8)
    case invalidEscape
    /// `\uD800`…`\uDFFF` without its other half: it names no character, and UTF-8 can't hold it.
    case loneSurrogate(UInt16)
    case invalidUTF8
    case invalidNumber
    /// The number is well formed, but too large for the type asked for (`1e400` for any).
    case numberOutOfRange
    case typeMismatch(expected: JSONKind, found: JSONKind)
    case duplicateKey(String)
    case depthLimit(Int)
    case sizeLimit(Int)
  }

  package let kind: Kind
  /// Offset of the offending byte from the start of the text.
  package let byteOffset: Int
  /// From 1.
  package let line: Int
  /// In bytes, from 1.
  package let column: Int

  package init(_ kind: Kind, at byteOffset: Int, in bytes: [UInt8]) {
    self.kind = kind
    self.byteOffset = byteOffset
    let before = bytes.prefix(byteOffset)
    let lineStart = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
    line = before.count { $0 == UInt8(ascii: "\n") } + 1
    column = before.count - lineStart + 1
  }

  /// Names the first byte too many; its line is not looked for in a text this long.
  init(tooLongFor limits: JSONLimits) {
    kind = .sizeLimit(limits.maxBytes)
    byteOffset = limits.maxBytes
    line = 1
    column = limits.maxBytes + 1
  }
}

extension JSONError: CustomStringConvertible {
  package var description: String {
    "invalid JSON at byte \(byteOffset) (line \(line), column \(column)): \(kind.description)"
  }
}

extension JSONError.Kind: CustomStringConvertible {
  package var description: String {
    switch self {
    case .unexpectedEnd: "the text ends too early"
    case .unexpectedCharacter(let byte, let expected): "found \(Self.name(of: byte)), expected \(expected)"
    case .trailingCharacters: "more text follows the end of the document"
    case .controlCharacter(let byte): "\(Self.name(of: byte)) must be escaped in a string"
    case .invalidEscape: "unknown escape sequence"
    case .loneSurrogate(let unit): "\\u\(String(unit, radix: 16)) is half of a surrogate pair"
    case .invalidUTF8: "not valid UTF-8"
    case .invalidNumber: "malformed number"
    case .numberOutOfRange: "number out of range"
    case .typeMismatch(let expected, let found): "found \(found.rawValue), expected \(expected.rawValue)"
    case .duplicateKey(let key): "key \"\(key)\" appears twice"
    case .depthLimit(let limit): "nested deeper than \(limit) levels"
    case .sizeLimit(let limit): "longer than \(limit) bytes"
    }
  }

  private static func name(of byte: UInt8) -> String {
    (0x21...0x7E).contains(byte)
      ? "'\(Character(Unicode.Scalar(byte)))'" : "byte 0x\(byte < 16 ? "0" : "")\(String(byte, radix: 16))"
  }
}
