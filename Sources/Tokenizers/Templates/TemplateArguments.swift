/// The arguments of one call.
struct TemplateArguments {
  var positional: [TemplateValue] = []
  var keywords: [(name: String, value: TemplateValue)] = []

  func keyword(_ name: String) -> TemplateValue? { keywords.first { $0.name == name }?.value }

  /// The values for these parameters in order, nil for those not given.
  ///
  /// - Parameter positionalOnly: how many of the first parameters can't be given by name.
  func bound(
    to names: [String], required: Int = 0, positionalOnly: Int = 0, function: String
  ) throws(TemplateProblem) -> [TemplateValue?] {
    guard positional.count <= names.count else {
      throw .type("\(function)() takes at most \(names.count) arguments, got \(positional.count)")
    }
    var values: [TemplateValue?] = positional
    values += [TemplateValue?](repeating: nil, count: names.count - positional.count)
    for (name, value) in keywords {
      guard let place = names.firstIndex(of: name), place >= positionalOnly else {
        throw .type("\(function)() got an unexpected keyword argument '\(name)'")
      }
      if values[place] != nil { throw .type("\(function)() got multiple values for argument '\(name)'") }
      values[place] = value
    }
    if let missing = values.prefix(required).firstIndex(where: { $0 == nil }) {
      throw .type("\(function)() is missing its argument '\(names[missing])'")
    }
    return values
  }

  func requireNone(_ function: String) throws(TemplateProblem) {
    _ = try bound(to: [], function: function)
  }
}
