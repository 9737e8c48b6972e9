extension SchemaCompiler {
  /// ```
  /// [ ␣ ●──item──▶●──, ␣ item──▶●── … ──▶●⟲ , ␣ item        ␣: white space
  ///     ]         ␣ ]           ␣ ]      ␣ ]                 from `minItems` items on
  /// ```
  mutating func emitArray(_ constraints: SchemaConstraints, from: Int, to: Int) throws(GrammarError) {
    let prefix = constraints.prefix
    // As with properties: what was not listed does not come, unless it has to.
    let isClosed = constraints.items == nil && !prefix.isEmpty
    var maximum = constraints.maxItems
    if isClosed { maximum = min(maximum ?? .max, max(prefix.count, constraints.minItems)) }
    if let maximum, maximum < constraints.minItems { return noteEmpty(constraints.path + "/minItems") }
    let chain = maximum ?? max(constraints.minItems, prefix.count, 1)

    let opened = try builder.state()
    var place = try builder.state()
    try builder.literal("[", from: from, to: opened)
    space(from: opened, to: place, &builder)
    if constraints.minItems == 0 { try builder.literal("]", from: place, to: to) }
    if chain == 0 { return }
    let closing = try builder.state()
    try builder.literal("]", from: closing, to: to)
    do {
      for index in 0..<chain {
        let next = try builder.state()
        try item(index, constraints, from: place, to: next)
        place = next
        if index + 1 >= constraints.minItems { space(from: place, to: closing, &builder) }
      }
    } catch {
      guard case .tooLarge = error else { throw error }
      throw .tooLarge(
        path: constraints.path + (constraints.maxItems == nil ? "/minItems" : "/maxItems"),
        reason: "the automaton of the whole schema needs more than \(reader.limits.states) states")
    }
    if maximum == nil { try item(chain, constraints, from: place, to: place) }
  }

  private mutating func item(
    _ index: Int, _ constraints: SchemaConstraints, from: Int, to: Int
  ) throws(GrammarError) {
    var start = from
    if index > 0 {
      let comma = try builder.state()
      start = try builder.state()
      try builder.literal(",", from: from, to: comma)
      space(from: comma, to: start, &builder)
    }
    let schemas = index < constraints.prefix.count ? constraints.prefix[index] : constraints.items ?? []
    builder.call(try rule(for: schemas), from: start, to: to)
  }
}
