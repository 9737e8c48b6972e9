/// A pull parser: the caller asks for what it expects, nothing is built that it does not ask for.
///
/// Follows RFC 8259 strictly: no comments, no trailing commas, no byte-order mark, valid UTF-8 only.
/// A vocabulary of a million entries is read like this:
///
///     var scanner = try JSONScanner(bytes)
///     try scanner.beginObject()
///     while let key = try scanner.nextKey() {
///       if key == "vocab" { try readVocabulary(&scanner) } else { try scanner.skipValue() }
///     }
///     try scanner.finish()
///
/// After an error the scanner must not be used again.
package struct JSONScanner: Sendable {
  package let bytes: [UInt8]
  /// Offset of the next byte to read.
  package internal(set) var position = 0
  package let limits: JSONLimits
  var open: [Container] = []

  /// An open container, and whether something has been read of it, so that a comma must come next.
  enum Container: UInt8 { case emptyArray, array, emptyObject, object }

  package init(_ bytes: [UInt8], limits: JSONLimits = .default) throws(JSONError) {
    guard bytes.count <= limits.maxBytes else { throw JSONError(tooLongFor: limits) }
    self.bytes = bytes
    self.limits = limits
  }

  /// The number of containers that have been begun and not yet ended.
  package var depth: Int { open.count }

  /// The kind of the next value, told by its first byte; nothing is consumed but white space.
  package mutating func peekKind() throws(JSONError) -> JSONKind {
    switch try nextByte() {
    case UInt8(ascii: "\""): .string
    case UInt8(ascii: "{"): .object
    case UInt8(ascii: "["): .array
    case UInt8(ascii: "t"), UInt8(ascii: "f"): .bool
    case UInt8(ascii: "n"): .null
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): .number
    case let byte: throw error(.unexpectedCharacter(byte, expected: "a value"))
    }
  }

  package mutating func beginArray() throws(JSONError) { try begin(.array, .emptyArray) }

  package mutating func beginObject() throws(JSONError) { try begin(.object, .emptyObject) }

  /// Moves to the next element of the array begun last; false, and the array is ended, when there is none.
  package mutating func nextElement() throws(JSONError) -> Bool {
    let byte = try nextByte()
    if byte == UInt8(ascii: "]") {
      position += 1
      open.removeLast()
      return false
    }
    if open.last == .emptyArray {
      open[open.count - 1] = .array
    } else {
      try consume(UInt8(ascii: ","), expected: "',' or ']'")
    }
    return true
  }

  /// Reads the next key of the object begun last; nil, and the object is ended, when there is none.
  package mutating func nextKey() throws(JSONError) -> String? {
    guard try moveToKey() else { return nil }
    let key = try string()
    try consume(UInt8(ascii: ":"), expected: "':'")
    return key
  }

  /// Like `nextKey`, but appends the key's bytes to `key` instead of making a string; false at the end.
  package mutating func nextKey(into key: inout [UInt8]) throws(JSONError) -> Bool {
    guard try moveToKey() else { return false }
    try string(into: &key)
    try consume(UInt8(ascii: ":"), expected: "':'")
    return true
  }

  package mutating func bool() throws(JSONError) -> Bool {
    try require(.bool)
    let value = bytes[position] == UInt8(ascii: "t")
    try literal(value ? "true" : "false")
    return value
  }

  package mutating func null() throws(JSONError) {
    try require(.null)
    try literal("null")
  }

  /// True, and the value is consumed, when the next value is `null`.
  package mutating func skipNull() throws(JSONError) -> Bool {
    guard try nextByte() == UInt8(ascii: "n") else { return false }
    try literal("null")
    return true
  }

  /// Checks and passes over one value of any size in constant stack space.
  package mutating func skipValue() throws(JSONError) {
    let outer = open.count
    repeat {
      switch try peekKind() {
      case .null: try literal("null")
      case .bool: _ = try bool()
      case .number: _ = try number()
      case .string: try skipString()
      case .array: try beginArray()
      case .object: try beginObject()
      }
      while open.count > outer, try !moveToNextValue() {}
    } while open.count > outer
  }

  /// Ends the document: only white space may follow.
  package mutating func finish() throws(JSONError) {
    skipWhitespace()
    if position < bytes.count { throw error(.trailingCharacters) }
  }

  /// An error at the byte that comes next, or at `offset`.
  package func error(_ kind: JSONError.Kind, at offset: Int? = nil) -> JSONError {
    JSONError(kind, at: offset ?? position, in: bytes)
  }
}

extension JSONScanner {
  /// Throws unless the next value is of this kind.
  mutating func require(_ kind: JSONKind) throws(JSONError) {
    let found = try peekKind()
    if found != kind { throw error(.typeMismatch(expected: kind, found: found)) }
  }

  /// Moves to the next key or element; false when the container has none left and was ended.
  private mutating func moveToNextValue() throws(JSONError) -> Bool {
    switch open.last {
    case .emptyArray, .array: return try nextElement()
    case .emptyObject, .object:
      guard try moveToKey() else { return false }
      try skipString()
      try consume(UInt8(ascii: ":"), expected: "':'")
      return true
    case nil: return false
    }
  }

  private mutating func moveToKey() throws(JSONError) -> Bool {
    let byte = try nextByte()
    if byte == UInt8(ascii: "}") {
      position += 1
      open.removeLast()
      return false
    }
    if open.last == .emptyObject {
      open[open.count - 1] = .object
    } else {
      try consume(UInt8(ascii: ","), expected: "',' or '}'")
    }
    let quote = try nextByte()
    if quote != UInt8(ascii: "\"") { throw error(.unexpectedCharacter(quote, expected: "a key")) }
    return true
  }

  private mutating func begin(_ kind: JSONKind, _ container: Container) throws(JSONError) {
    try require(kind)
    if open.count == limits.maxDepth { throw error(.depthLimit(limits.maxDepth)) }
    position += 1
    open.append(container)
  }

  /// The next byte that is no white space, not consumed.
  private mutating func nextByte() throws(JSONError) -> UInt8 {
    skipWhitespace()
    if position == bytes.count { throw error(.unexpectedEnd) }
    return bytes[position]
  }

  private mutating func skipWhitespace() {
    let end = endOfWhitespace()
    position = end
  }

  private func endOfWhitespace() -> Int {
    let text = bytes.span
    var end = position
    while end < text.count {
      let byte = text[end]
      guard
        byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r")
          || byte == UInt8(ascii: "\t")
      else { break }
      end += 1
    }
    return end
  }

  private mutating func consume(_ byte: UInt8, expected: String) throws(JSONError) {
    let found = try nextByte()
    if found != byte { throw error(.unexpectedCharacter(found, expected: expected)) }
    position += 1
  }

  private mutating func literal(_ text: String) throws(JSONError) {
    for byte in text.utf8 {
      guard position < bytes.count else { throw error(.unexpectedEnd) }
      guard bytes[position] == byte else {
        throw error(.unexpectedCharacter(bytes[position], expected: "'\(text)'"))
      }
      position += 1
    }
  }
}
