internal import JSON

/// A JSON object being read, with the path to it for error messages.
struct Fields {
  let value: JSONValue
  let path: String

  init(_ value: JSONValue, at path: String) throws(TokenizerError) {
    guard value.object != nil else { throw .wrongType(field: path, expected: "an object") }
    self.value = value
    self.path = path
  }

  func path(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

  /// The value of a key; nil when it is missing or null.
  func optional(_ key: String) -> JSONValue? {
    guard let member = value[key], !member.isNull else { return nil }
    return member
  }

  func required(_ key: String) throws(TokenizerError) -> JSONValue {
    guard let member = optional(key) else { throw .missing(field: path(key)) }
    return member
  }

  func string(_ key: String) throws(TokenizerError) -> String {
    guard let text = try required(key).string else {
      throw .wrongType(field: path(key), expected: "a string")
    }
    return text
  }

  func optionalString(_ key: String) throws(TokenizerError) -> String? {
    optional(key) == nil ? nil : try string(key)
  }

  func bytes(_ key: String) throws(TokenizerError) -> [UInt8] { Array(try string(key).utf8) }

  func bool(_ key: String, default fallback: Bool) throws(TokenizerError) -> Bool {
    guard let member = optional(key) else { return fallback }
    guard let flag = member.bool else { throw .wrongType(field: path(key), expected: "true or false") }
    return flag
  }

  func int(_ key: String, in range: ClosedRange<Int>, default fallback: Int? = nil) throws(TokenizerError)
    -> Int
  {
    if let fallback, optional(key) == nil { return fallback }
    let member = try required(key)
    guard let number = member.int else {
      if member.double == nil { throw .wrongType(field: path(key), expected: "a whole number") }
      throw .outOfRange(field: path(key), value: "\(member)", allowed: "\(range)")
    }
    guard range.contains(number) else {
      throw .outOfRange(field: path(key), value: "\(number)", allowed: "\(range)")
    }
    return number
  }

  /// A token's id.
  func id(_ key: String) throws(TokenizerError) -> Int32 {
    Int32(try int(key, in: 0...Vocabulary.idLimit - 1))
  }

  /// A string of exactly one character, as its bytes.
  func character(_ key: String) throws(TokenizerError) -> [UInt8] {
    let text = try string(key)
    guard text.unicodeScalars.count == 1 else {
      throw .wrongType(field: path(key), expected: "a string of one character")
    }
    return Array(text.utf8)
  }

  /// A text that a stage writes again and again; long ones would only serve to fill the memory.
  func insertion(_ key: String) throws(TokenizerError) -> [UInt8] {
    let text = try bytes(key)
    let limit = 256
    guard text.count <= limit else {
      throw .outOfRange(field: path(key), value: "\(text.count) bytes", allowed: "0...\(limit)")
    }
    return text
  }

  func elements(_ key: String) throws(TokenizerError) -> [JSONValue] {
    guard let list = try required(key).array else { throw .wrongType(field: path(key), expected: "a list") }
    return list
  }

  func objects(_ key: String) throws(TokenizerError) -> [Fields] {
    var result: [Fields] = []
    for (index, element) in try elements(key).enumerated() {
      result.append(try Fields(element, at: "\(path(key))[\(index)]"))
    }
    return result
  }

  func object(_ key: String) throws(TokenizerError) -> Fields { try Fields(try required(key), at: path(key)) }

  func unknown(_ key: String, _ value: String, known: [String]) -> TokenizerError {
    .unknownValue(field: path(key), value: value, known: known)
  }

  /// `{"String": "…"}` or `{"Regex": "…"}`; old files have a bare string.
  func pattern(_ key: String) throws(TokenizerError) -> TextPattern {
    if let literal = try required(key).string { return .literal(Array(literal.utf8)) }
    let pattern = try object(key)
    if pattern.optional("String") != nil { return .literal(try pattern.bytes("String")) }
    if pattern.optional("Regex") != nil { return try .expression(try pattern.string("Regex")) }
    throw .unsupported(field: path(key), reason: "must be {\"String\": …} or {\"Regex\": …}")
  }
}
