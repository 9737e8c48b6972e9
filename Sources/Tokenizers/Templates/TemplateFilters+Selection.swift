extension TemplateInterpreter {
  /// What reads `attribute` of a value: nothing gives the value itself, `"a.b.0"` goes deeper step by step.
  func attributeGetter(
    _ attribute: TemplateValue?, default missing: TemplateValue? = nil
  ) throws(TemplateProblem) -> (TemplateValue) throws(TemplateProblem) -> TemplateValue {
    var path: [TemplateValue] = []
    switch attribute {
    case nil, .some(.none): break
    case .string(let names):
      try produce(bytes: names.utf8.count)
      for name in names.splitPython(by: ".", limit: -1) {
        let isNumber =
          !name.isEmpty && name.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        path.append(isNumber ? Int64(name).map { .integer($0) } ?? .string(name) : .string(name))
      }
    case .some(let key): path = [key]
    }
    return { value throws(TemplateProblem) in
      var value = value
      for key in path {
        value = try self.item(key, of: value)
        if value.isUndefined, let missing, !missing.isNone { value = missing }
      }
      return value
    }
  }

  func mapFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    .iterator(
      TemplateIterator { () throws(TemplateProblem) in
        guard value.isTrue else { return [] }
        let transform = try self.transform(arguments)
        var results: [TemplateValue] = []
        for element in try self.elements(of: value) { results.append(try transform(element)) }
        return results
      })
  }

  /// `map(attribute="a", default=x)` or `map("filter", arguments…)`.
  private func transform(
    _ arguments: TemplateArguments
  ) throws(TemplateProblem) -> (TemplateValue) throws(TemplateProblem) -> TemplateValue {
    if arguments.positional.isEmpty, arguments.keyword("attribute") != nil {
      let values = try arguments.bound(to: ["attribute", "default"], function: "map")
      return try attributeGetter(values[0], default: values[1])
    }
    guard let name = arguments.positional.first else { throw .type("map requires a filter argument") }
    var rest = arguments
    rest.positional.removeFirst()
    guard case .string(let name) = name else { throw .unknownFilter(try text(of: name)) }
    return { element throws(TemplateProblem) in
      try self.nested { () throws(TemplateProblem) in try self.applyFilter(name, to: element, rest) }
    }
  }

  func selectFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    selection(of: value, arguments, keeps: true, byAttribute: false)
  }

  func rejectFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    selection(of: value, arguments, keeps: false, byAttribute: false)
  }

  func selectattrFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    selection(of: value, arguments, keeps: true, byAttribute: true)
  }

  func rejectattrFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    selection(of: value, arguments, keeps: false, byAttribute: true)
  }

  /// `select("test", arguments…)`, `selectattr("attribute", "test", arguments…)`; without a test, by truth.
  private func selection(
    of value: TemplateValue, _ arguments: TemplateArguments, keeps: Bool, byAttribute: Bool
  ) -> TemplateValue {
    .iterator(
      TemplateIterator { () throws(TemplateProblem) in
        guard value.isTrue else { return [] }
        var rest = arguments
        var attribute: TemplateValue?
        if byAttribute {
          guard !rest.positional.isEmpty else { throw .type("Missing parameter for attribute name") }
          attribute = rest.positional.removeFirst()
        }
        let getter = try self.attributeGetter(attribute)
        let test = rest.positional.isEmpty ? nil : rest.positional.removeFirst()
        var kept: [TemplateValue] = []
        for element in try self.elements(of: value) {
          let subject = try getter(element)
          guard let test else {
            if subject.isTrue == keeps { kept.append(element) }
            continue
          }
          if try self.test(try self.text(of: test), subject, rest) == keeps { kept.append(element) }
        }
        return kept
      })
  }
}
