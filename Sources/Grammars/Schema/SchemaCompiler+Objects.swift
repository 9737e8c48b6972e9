internal import JSON

/// Members of an object: the listed keys in their order, then others.
///
/// ```
///          key a          key b (optional)   other keys
/// { ␣ ●───"a": …──▶●───, ␣ "b": …──▶●───, ␣ "…": … ──▶⟲
///                  └────────────────▲                         places: (keys passed, members so far)
/// ```
/// A place knows whether a comma is due: whether there were members before. With `minProperties` or `maxProperties` it
/// knows how many.
extension SchemaCompiler {
  mutating func emitObject(_ constraints: SchemaConstraints, from: Int, to: Int) throws(GrammarError) {
    var members = try ObjectMembers(constraints, &reader)
    if members.isEmpty { return noteEmpty(constraints.path) }
    let counting = members.countsMembers
    let most = counting ? max(constraints.maxProperties ?? constraints.minProperties, 1) : 1
    guard most <= 1000 else {
      throw .tooLarge(
        path: constraints.path + "/" + (constraints.maxProperties == nil ? "minProperties" : "maxProperties"),
        reason: "counting more than 1000 members is not supported")
    }

    let opened = try builder.state()
    try builder.literal("{", from: from, to: opened)
    var places: [Int?] = Array(repeating: nil, count: most + 1)
    let first = try builder.state()
    space(from: opened, to: first, &builder)
    places[0] = first
    for property in members.listed {
      var next: [Int?] = Array(repeating: nil, count: most + 1)
      // Without counting, one value serves both places it can follow.
      var shared: Int?
      for (count, place) in places.enumerated() {
        guard let place else { continue }
        if !property.isRequired { Self.join(place, &next[count], &builder) }
        if counting, constraints.maxProperties == count { continue }
        let target = try Self.place(min(count + 1, most), &next, &builder)
        var key = shared
        if key == nil || counting {
          let start = try builder.state()
          key = start
          shared = start
          try member(.text(Self.quoted(property.key)), property.schemas, from: start, to: target)
        }
        try comma(isDue: count > 0, from: place, to: key ?? target)
      }
      places = next
    }
    try emitOthers(&members, &places, constraints, most: most, counting: counting)

    let closing = try builder.state()
    try builder.literal("}", from: closing, to: to)
    for (count, place) in places.enumerated() {
      guard let place, !counting || count >= constraints.minProperties else { continue }
      if count == 0 {
        builder.empty(from: place, to: closing)
      } else {
        space(from: place, to: closing, &builder)
      }
    }
  }

  /// Keys that are not listed.
  private mutating func emitOthers(
    _ members: inout ObjectMembers, _ places: inout [Int?], _ constraints: SchemaConstraints, most: Int,
    counting: Bool
  ) throws(GrammarError) {
    for count in 0...most {
      guard let place = places[count], !members.others.isEmpty else { continue }
      if counting, constraints.maxProperties == count { continue }
      let target = try Self.place(min(count + 1, most), &places, &builder)
      let start = try builder.state()
      try comma(isDue: count > 0, from: place, to: start)
      for other in members.others { try member(other.keys, other.schemas, from: start, to: target) }
    }
  }

  private mutating func member(
    _ key: ObjectMembers.Keys, _ schemas: [LocatedSchema], from: Int, to: Int
  ) throws(GrammarError) {
    let (named, colon, start) = (try builder.state(), try builder.state(), try builder.state())
    switch key {
    case .text(let text): try builder.literal(text, from: from, to: named)
    case .any, .some:
      let (opened, closing) = (try builder.state(), try builder.state())
      try builder.literal("\"", from: from, to: opened)
      if case .some(let dfa) = key {
        try builder.add(dfa, quoted: true, from: opened, to: closing)
      } else {
        try builder.stringCharacters(minimum: 0, maximum: nil, from: opened, to: closing)
      }
      try builder.literal("\"", from: closing, to: named)
    }
    try builder.literal(":", from: named, to: colon)
    space(from: colon, to: start, &builder)
    try value(schemas, from: start, to: to)
  }

  private mutating func comma(isDue: Bool, from: Int, to: Int) throws(GrammarError) {
    if !isDue { return builder.empty(from: from, to: to) }
    let comma = try builder.state()
    try builder.literal(",", from: from, to: comma)
    space(from: comma, to: to, &builder)
  }

  private static func place(
    _ index: Int, _ places: inout [Int?], _ builder: inout AutomatonBuilder
  ) throws(GrammarError) -> Int {
    if let place = places[index] { return place }
    let place = try builder.state()
    places[index] = place
    return place
  }

  private static func join(_ from: Int, _ to: inout Int?, _ builder: inout AutomatonBuilder) {
    if let to { builder.empty(from: from, to: to) } else { to = from }
  }

  private static func quoted(_ key: String) -> String { JSONValue.string(key).serialized() }
}

/// The keys that an object can have.
struct ObjectMembers {
  enum Keys {
    /// With its quotes.
    case text(String)
    case any
    case some(ByteDFA)
  }
  struct Listed {
    var key: String
    var schemas: [LocatedSchema]
    var isRequired: Bool
  }
  struct Others {
    var keys: Keys
    var schemas: [LocatedSchema]
  }
  private(set) var listed: [Listed] = []
  private(set) var others: [Others] = []
  let countsMembers: Bool
  /// A required key can't be there.
  private(set) var isEmpty = false

  init(_ constraints: SchemaConstraints, _ reader: inout SchemaReader) throws(GrammarError) {
    var keys = constraints.properties.map(\.key)
    for key in constraints.required where constraints.property(key) == nil { keys.append(key) }
    for key in keys {
      let isRequired = constraints.requires(key)
      var isAllowed = constraints.names.isEmpty
      for alternative in try constraints.names.isEmpty ? [] : reader.alternatives(constraints.names)
      where try reader.admits(.string(key), alternative, depth: 0) {
        isAllowed = true
      }
      if isAllowed {
        listed.append(
          Listed(key: key, schemas: try reader.schemas(of: key, in: constraints), isRequired: isRequired))
      } else if isRequired {
        isEmpty = true
      }
    }
    let isClosed =
      constraints.additional == nil
      && !(constraints.properties.isEmpty && constraints.patternProperties.isEmpty)
    others = try Self.others(keys, constraints, isClosed: isClosed, &reader)
    let required = constraints.required.count
    let most = others.isEmpty ? listed.count : Int.max
    countsMembers =
      constraints.minProperties > required || constraints.maxProperties.map { $0 < most } ?? false
    if !others.isEmpty, constraints.minProperties > max(required, required == 0 ? 1 : 0) {
      // Keys that are not listed may come twice, and count once.
      throw .unsupported(
        path: constraints.path + "/minProperties",
        reason: "with keys that are not listed, only 1 or what `required` reaches is supported")
    }
  }

  private static func others(
    _ keys: [String], _ constraints: SchemaConstraints, isClosed: Bool, _ reader: inout SchemaReader
  ) throws(GrammarError) -> [Others] {
    let (path, limits) = (constraints.path, reader.limits)
    let forbids = constraints.additional?.contains { $0.schema.bool == false } ?? false
    if constraints.patternProperties.isEmpty, isClosed || forbids { return [] }
    if keys.isEmpty, constraints.patternProperties.isEmpty, constraints.names.isEmpty {
      return [Others(keys: .any, schemas: constraints.additional ?? [])]
    }
    var free = try ByteDFA(.repeated(.set(.all), minimum: 0, maximum: nil), path: path, limits: limits)
    if !constraints.names.isEmpty {
      var string = SchemaConstraints(path: path)
      string.kinds = .string
      let names = try reader.alternatives(constraints.names)
      guard names.count == 1 else {
        throw .unsupported(path: path + "/propertyNames", reason: "alternatives for names are not supported")
      }
      if let values = names[0].values {
        free = try ByteDFA(
          .choice(values.compactMap(\.string).map { .text($0) }), path: path, limits: limits)
      } else {
        free = try reader.strings(names[0])
      }
    }
    let listed = try ByteDFA(.choice(keys.map { .text($0) }), path: path, limits: limits)
    free = try free.subtracting(listed, path: path, limits: limits)
    var result: [Others] = []
    for (index, property) in constraints.patternProperties.enumerated() {
      let automaton = try reader.automaton(property.pattern)
      for other in constraints.patternProperties[..<index] {
        let common = try automaton.intersection(
          reader.automaton(other.pattern), path: property.pattern.path, limits: limits)
        guard common.isEmpty || other.pattern == property.pattern else {
          throw .unsupported(
            path: property.pattern.path,
            reason: "keys that match two patterns of patternProperties are not supported")
        }
      }
      let keys = try free.intersection(automaton, path: property.pattern.path, limits: limits)
      if !keys.isEmpty { result.append(Others(keys: .some(keys), schemas: property.schemas)) }
    }
    for property in constraints.patternProperties {
      free = try free.subtracting(reader.automaton(property.pattern), path: path, limits: limits)
    }
    if !isClosed, !forbids, !free.isEmpty {
      result.append(Others(keys: .some(free), schemas: constraints.additional ?? []))
    }
    return result
  }
}
