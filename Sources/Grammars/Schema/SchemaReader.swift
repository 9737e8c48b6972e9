internal import JSON

/// Reads schemas into the alternatives they leave.
///
/// `allOf`, `$ref` and keywords beside them hold together, so their alternatives are combined, each with each; those of
/// `anyOf` and `oneOf` stand beside each other.
struct SchemaReader {
  let root: JSONValue
  let limits: GrammarLimits
  private var automata: [String: ByteDFA] = [:]

  init(_ root: JSONValue, _ limits: GrammarLimits) {
    self.root = root
    self.limits = limits
  }

  /// Keywords that would have to be kept and are not.
  private static let unsupported = [
    "not", "if", "then", "else", "contains", "minContains", "maxContains", "dependentRequired",
    "dependentSchemas", "dependencies", "$dynamicRef", "$recursiveRef",
  ]

  /// The alternatives of all these schemas together; none when nothing satisfies them.
  mutating func alternatives(_ schemas: [LocatedSchema]) throws(GrammarError) -> [SchemaConstraints] {
    try alternatives(schemas, following: [])
  }

  private mutating func alternatives(
    _ schemas: [LocatedSchema], following: [String]
  ) throws(GrammarError) -> [SchemaConstraints] {
    guard let first = schemas.first else { return [SchemaConstraints(path: "#")] }
    var result = try read(first, following)
    for schema in schemas.dropFirst() { result = try combine(result, read(schema, following), schema.path) }
    return result
  }

  private mutating func combine(
    _ a: [SchemaConstraints], _ b: [SchemaConstraints], _ path: String
  ) throws(GrammarError) -> [SchemaConstraints] {
    guard a.count * b.count <= limits.alternatives else {
      throw .tooLarge(path: path, reason: "its parts combine in more than \(limits.alternatives) ways")
    }
    var result: [SchemaConstraints] = []
    for left in a {
      for right in b {
        let merged = try merge(left, right)
        if !merged.kinds.isEmpty, merged.values?.isEmpty != true { result.append(merged) }
      }
    }
    return result
  }

  private mutating func merge(
    _ a: SchemaConstraints, _ b: SchemaConstraints
  ) throws(GrammarError) -> SchemaConstraints {
    // Automata are made before, because the closure can't keep them.
    for pattern in a.patternProperties + b.patternProperties { _ = try automaton(pattern.pattern) }
    let automata = automata
    return try a.merged(b) { (pattern, key) throws(GrammarError) in
      automata[pattern.regex]?.accepts(key.utf8) ?? false
    }
  }

  /// The strings in which a pattern matches.
  mutating func automaton(_ pattern: SchemaConstraints.Pattern) throws(GrammarError) -> ByteDFA {
    if let known = automata[pattern.regex] { return known }
    let made = try Regex.search(pattern.regex, path: pattern.path, limits: limits)
    automata[pattern.regex] = made
    return made
  }

  mutating func schemas(
    of key: String, in constraints: SchemaConstraints
  ) throws(GrammarError) -> [LocatedSchema] {
    for pattern in constraints.patternProperties { _ = try automaton(pattern.pattern) }
    let automata = automata
    return try constraints.schemas(of: key) { (pattern, key) throws(GrammarError) in
      automata[pattern.regex]?.accepts(key.utf8) ?? false
    }
  }

  private mutating func read(
    _ located: LocatedSchema, _ following: [String]
  ) throws(GrammarError) -> [SchemaConstraints] {
    if let isAnything = located.schema.bool {
      return isAnything ? [SchemaConstraints(path: located.path)] : []
    }
    guard let members = located.schema.object else {
      throw .schema(path: located.path, reason: "a schema is an object, true or false")
    }
    guard following.count < limits.depth else {
      throw .tooLarge(
        path: located.path, reason: "schemas refer to each other through more than \(limits.depth) others")
    }
    for keyword in Self.unsupported where members[keyword] != nil {
      throw .unsupported(
        path: "\(located.path)/\(keyword)",
        reason: "the keyword \(keyword) is not supported, because it can't be kept while generating")
    }
    var result = [try KeywordReader(located).constraints()]
    if let reference = located["$ref"] {
      let target = try resolve(reference)
      if following.contains(target.path) {
        throw .unsupported(path: reference.path, reason: "it refers to itself with no value between")
      }
      result = try combine(result, read(target, following + [target.path]), reference.path)
    }
    for index in try count(of: "allOf", located) {
      guard let part = located.element(index, of: "allOf") else { continue }
      result = try combine(result, read(part, following), part.path)
    }
    for keyword in ["anyOf", "oneOf"] {
      var parts: [[SchemaConstraints]] = []
      for index in try count(of: keyword, located) {
        guard let part = located.element(index, of: keyword) else { continue }
        parts.append(try read(part, following))
      }
      if parts.isEmpty { continue }
      if keyword == "oneOf" { try checkApart(parts, located, keyword) }
      result = try combine(result, parts.flatMap { $0 }, "\(located.path)/\(keyword)")
    }
    return result
  }

  private func count(of keyword: String, _ located: LocatedSchema) throws(GrammarError) -> Range<Int> {
    guard let value = located.schema[keyword] else { return 0..<0 }
    guard let parts = value.array, !parts.isEmpty else {
      throw .schema(path: "\(located.path)/\(keyword)", reason: "expected a list of schemas")
    }
    return 0..<parts.count
  }

  /// Follows a JSON pointer into this document.
  func resolve(_ reference: LocatedSchema) throws(GrammarError) -> LocatedSchema {
    guard let text = reference.schema.string else {
      throw .schema(path: reference.path, reason: "expected the text of a reference")
    }
    guard text == "#" || text.hasPrefix("#/") else {
      throw .unsupported(
        path: reference.path, reason: "only references into the same schema (\"#/…\") are followed")
    }
    var target = LocatedSchema(schema: root, path: "#")
    for part in text.dropFirst(2).split(separator: "/", omittingEmptySubsequences: false) where text != "#" {
      let key = Self.unescaped(part)
      if let index = Int(key), let element = target.schema[index] {
        target = LocatedSchema(schema: element, path: target.path + "/" + part)
      } else if let member = target.schema[key] {
        target = LocatedSchema(schema: member, path: target.path + "/" + part)
      } else {
        throw .schema(path: reference.path, reason: "there is nothing at \(text.prefix(200))")
      }
    }
    return target
  }

  /// RFC 6901, with percent-encoding undone.
  private static func unescaped(_ part: Substring) -> String {
    var bytes: [UInt8] = []
    let source = Array(part.utf8)
    var index = 0
    while index < source.count {
      let hex =
        index + 2 < source.count
        ? UInt8(String(decoding: source[index + 1...index + 2], as: UTF8.self), radix: 16) : nil
      if source[index] == UInt8(ascii: "%"), let hex {
        bytes.append(hex)
        index += 3
      } else if source[index] == UInt8(ascii: "~"), index + 1 < source.count {
        bytes.append(source[index + 1] == UInt8(ascii: "1") ? UInt8(ascii: "/") : UInt8(ascii: "~"))
        index += 2
      } else {
        bytes.append(source[index])
        index += 1
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// A value of `oneOf` satisfies exactly one part: sure only when no two have a value in common.
  private mutating func checkApart(
    _ parts: [[SchemaConstraints]], _ located: LocatedSchema, _ keyword: String
  ) throws(GrammarError) {
    for (index, part) in parts.enumerated() {
      for other in parts[..<index] {
        for a in part {
          for b in other where try !areApart(a, b, depth: 0) {
            throw .unsupported(
              path: "\(located.path)/oneOf/\(index)",
              reason:
                "it can't be told that no value satisfies this and another part of oneOf; use anyOf, or a "
                + "required property with a different const in each part")
          }
        }
      }
    }
  }
}

// MARK: No value in common

extension SchemaReader {
  /// Sure that no value satisfies both.
  mutating func areApart(
    _ a: SchemaConstraints, _ b: SchemaConstraints, depth: Int
  ) throws(GrammarError) -> Bool {
    for (one, other) in [(a, b), (b, a)] {
      if let values = one.values {
        for value in values where try admits(value, one, depth: 0) {
          if try admits(value, other, depth: 0) { return false }
        }
        return true
      }
    }
    let kinds = a.kinds.intersection(b.kinds)
    if !kinds.isDisjoint(with: [.null, .boolean, .array]) { return false }
    if !kinds.isDisjoint(with: .number), !areNumbersApart(a, b) { return false }
    if kinds.contains(.string) {
      let common = try strings(a).intersection(strings(b), path: a.path, limits: limits)
      if !common.isEmpty { return false }
    }
    if kinds.contains(.object), try !areObjectsApart(a, b, depth: depth) { return false }
    return true
  }

  private func areNumbersApart(_ a: SchemaConstraints, _ b: SchemaConstraints) -> Bool {
    for (low, high) in [(a.low, b.high), (b.low, a.high)] {
      guard let low, let high else { continue }
      if low.value > high.value { return true }
      if low.value == high.value, low.isExclusive || high.isExclusive { return true }
    }
    return false
  }

  /// Some property that both require has no value for both.
  private mutating func areObjectsApart(
    _ a: SchemaConstraints, _ b: SchemaConstraints, depth: Int
  ) throws(GrammarError) -> Bool {
    if depth > 4 { return false }
    for key in Set(a.required + b.required).sorted() where a.requires(key) && b.requires(key) {
      var isApart = true
      for left in try alternatives(schemas(of: key, in: a)) {
        for right in try alternatives(schemas(of: key, in: b)) where isApart {
          isApart = try areApart(left, right, depth: depth + 1)
        }
      }
      if isApart { return true }
    }
    // What one of them requires, the other may forbid.
    for (one, other) in [(a, b), (b, a)] {
      for key in one.required where try alternatives(schemas(of: key, in: other)).isEmpty { return true }
    }
    return false
  }

  /// The strings that satisfy the constraints.
  mutating func strings(_ constraints: SchemaConstraints) throws(GrammarError) -> ByteDFA {
    var result: ByteDFA?
    for pattern in constraints.patterns {
      let next = try automaton(pattern)
      result =
        try result.map { (known) throws(GrammarError) in
          try known.intersection(next, path: pattern.path, limits: limits)
        } ?? next
    }
    let path = constraints.patterns.first?.path ?? constraints.path
    let all =
      try result ?? ByteDFA(.repeated(.set(.all), minimum: 0, maximum: nil), path: path, limits: limits)
    return try all.limited(
      minimum: constraints.minLength, maximum: constraints.maxLength, path: path, limits: limits)
  }
}

// MARK: Checking a value

extension SchemaReader {
  /// The value satisfies the constraints.
  mutating func admits(
    _ value: JSONValue, _ constraints: SchemaConstraints, depth: Int
  ) throws(GrammarError) -> Bool {
    guard depth < limits.depth else {
      throw .tooLarge(path: constraints.path, reason: "a value is nested deeper than \(limits.depth) levels")
    }
    guard constraints.kinds.contains(value.schemaKind) else { return false }
    if let values = constraints.values, !values.contains(where: { $0.isSameValue(as: value) }) {
      return false
    }
    switch value {
    case .null, .bool: return true
    case .integer, .double: return admits(number: value, constraints)
    case .string(let text):
      let length = text.unicodeScalars.count
      if length < constraints.minLength || length > constraints.maxLength ?? .max { return false }
      for pattern in constraints.patterns where try !automaton(pattern).accepts(text.utf8) { return false }
      return true
    case .array(let elements):
      if elements.count < constraints.minItems || elements.count > constraints.maxItems ?? .max {
        return false
      }
      for (index, element) in elements.enumerated() {
        let schemas = index < constraints.prefix.count ? constraints.prefix[index] : constraints.items ?? []
        if try !admits(element, schemas, depth: depth + 1) { return false }
      }
      return true
    case .object(let members):
      if members.count < constraints.minProperties { return false }
      if members.count > constraints.maxProperties ?? .max { return false }
      for key in constraints.required where members[key] == nil { return false }
      for (key, member) in members {
        if try !admits(.string(key), constraints.names, depth: depth + 1) { return false }
        if try !admits(member, schemas(of: key, in: constraints), depth: depth + 1) { return false }
      }
      return true
    }
  }

  private mutating func admits(
    _ value: JSONValue, _ schemas: [LocatedSchema], depth: Int
  ) throws(GrammarError) -> Bool {
    for alternative in try alternatives(schemas) where try admits(value, alternative, depth: depth) {
      return true
    }
    return false
  }

  private func admits(number value: JSONValue, _ constraints: SchemaConstraints) -> Bool {
    guard let number = DecimalNumber(value) else { return false }
    if let low = constraints.low, low.isExclusive ? number <= low.value : number < low.value { return false }
    if let high = constraints.high, high.isExclusive ? number >= high.value : number > high.value {
      return false
    }
    for multiple in constraints.multiples {
      guard let whole = value.int, whole % multiple == 0 else { return false }
    }
    return true
  }
}
