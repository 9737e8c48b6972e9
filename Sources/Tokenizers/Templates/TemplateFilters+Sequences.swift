extension TemplateInterpreter {
  func listFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    try arguments.requireNone("list")
    return .list(try elements(of: value))
  }

  func itemsFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    try arguments.requireNone("items")
    return .iterator(
      TemplateIterator { () throws(TemplateProblem) in
        if value.isUndefined { return [] }
        guard case .dictionary(let dictionary) = value else {
          throw .type("Can only get item pairs from a mapping.")
        }
        return try self.elements(of: .view(TemplateView(kind: .items, dictionary: dictionary)))
      })
  }

  func firstFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    try arguments.requireNone("first")
    let none = TemplateValue.undefined(TemplateUndefined(.other("No first item, sequence was empty.")))
    switch value {
    case .string(let text): return text.unicodeScalars.first.map { .string(String($0)) } ?? none
    case .list(let sequence), .tuple(let sequence): return sequence.elements.first ?? none
    case .iterator(let iterator): return try iterator.next() ?? none
    default: return try elements(of: value).first ?? none
    }
  }

  func lastFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    try arguments.requireNone("last")
    let none = TemplateValue.undefined(TemplateUndefined(.other("No last item, sequence was empty.")))
    switch value {
    case .string(let text): return text.unicodeScalars.last.map { .string(String($0)) } ?? none
    case .list(let sequence), .tuple(let sequence): return sequence.elements.last ?? none
    case .iterator: throw .type("'generator' object is not reversible")
    default: return try elements(of: value).last ?? none
    }
  }

  func reverseFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    try arguments.requireNone("reverse")
    if case .string(let text) = value {
      return try produced(String(String.UnicodeScalarView(text.unicodeScalars.reversed())))
    }
    guard value.isIterable else { throw .type("argument must be iterable") }
    let reversed = Array(try elements(of: value).reversed())
    // What has no order of its own to walk back through is listed first.
    if case .iterator = value { return .list(reversed) }
    return .iterator(TemplateIterator { () throws(TemplateProblem) in reversed })
  }

  func batchFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let values = try arguments.bound(to: ["linecount", "fill_with"], required: 1, function: "batch")
    let size = try integer(values[0], default: 0, "batch")
    return .iterator(
      TemplateIterator { () throws(TemplateProblem) in
        var batches: [[TemplateValue]] = []
        for element in try self.elements(of: value) {
          if let last = batches.last, last.count != Int(size) {
            batches[batches.count - 1].append(element)
          } else {
            batches.append([element])
          }
        }
        if let fill = values[1], !fill.isNone, let last = batches.last, last.count < Int(size) {
          try self.step(Int(size))
          batches[batches.count - 1] += Array(repeating: fill, count: Int(size) - last.count)
        }
        return batches.map { .list($0) }
      })
  }

  func sliceFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let values = try arguments.bound(to: ["slices", "fill_with"], required: 1, function: "slice")
    let count = Int(try integer(values[0], default: 0, "slice"))
    return .iterator(
      TemplateIterator { () throws(TemplateProblem) in
        let elements = try self.elements(of: value)
        if count == 0 { throw .divisionByZero }
        if count < 0 { return [] }
        try self.step(count)
        let (size, longer) = elements.count.quotientAndRemainder(dividingBy: count)
        var start = 0
        return (0..<count).map { index in
          let end = start + size + (index < longer ? 1 : 0)
          defer { start = end }
          var part = Array(elements[start..<end])
          if let fill = values[1], !fill.isNone, index >= longer { part.append(fill) }
          return .list(part)
        }
      })
  }
}

// MARK: Order

extension TemplateInterpreter {
  func sortFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let values = try arguments.bound(to: ["reverse", "case_sensitive", "attribute"], function: "sort")
    let isCaseSensitive = values[1]?.isTrue ?? false
    var attributes: [TemplateValue?] = [values[2]]
    if case .string(let names) = values[2] {
      attributes = names.splitPython(by: ",", limit: -1).map { .string($0) }
    }
    var getters: [(TemplateValue) throws(TemplateProblem) -> TemplateValue] = []
    for attribute in attributes { getters.append(try attributeGetter(attribute)) }
    let elements = try elements(of: value)
    return .list(
      try sorted(elements, descending: values[0]?.isTrue ?? false) { element throws(TemplateProblem) in
        var keys: [TemplateValue] = []
        for getter in getters { keys.append(try folded(try getter(element), isCaseSensitive)) }
        return .list(keys)
      })
  }

  func dictsortFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let values = try arguments.bound(to: ["case_sensitive", "by", "reverse"], function: "dictsort")
    var place = 0
    if let by = values[1] {
      guard case .string(let name) = by, let index = ["key", "value"].firstIndex(of: name) else {
        throw .value("You can only sort by either \"key\" or \"value\"")
      }
      place = index
    }
    if case .undefined(let undefined) = value { throw undefined.problem }
    guard case .dictionary(let dictionary) = value else { throw .type("dictsort needs a mapping") }
    let isCaseSensitive = values[0]?.isTrue ?? false
    let pairs = zip(dictionary.keys, dictionary.values).map { [$0, $1] }
    let sorted = try sorted(pairs, descending: values[2]?.isTrue ?? false) { pair throws(TemplateProblem) in
      try folded(pair[place], isCaseSensitive)
    }
    return .list(sorted.map { .tuple($0) })
  }

  func groupbyFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let names = ["attribute", "default", "case_sensitive"]
    let values = try arguments.bound(to: names, required: 1, function: "groupby")
    let getter = try attributeGetter(values[0], default: values[1])
    let isCaseSensitive = values[2]?.isTrue ?? false
    let elements = try sorted(try elements(of: value)) { element throws(TemplateProblem) in
      try folded(try getter(element), isCaseSensitive)
    }
    var groups: [(key: TemplateValue, elements: [TemplateValue])] = []
    for element in elements {
      let key = try folded(try getter(element), isCaseSensitive)
      if let last = groups.last, try isEqual(last.key, key) {
        groups[groups.count - 1].elements.append(element)
      } else {
        groups.append((key, [element]))
      }
    }
    var result: [TemplateValue] = []
    for group in groups { result.append(.tuple([try getter(group.elements[0]), .list(group.elements)])) }
    return .list(result)
  }

  func minFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    try extreme(value, arguments, "min") { $0 < 0 }
  }

  func maxFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    try extreme(value, arguments, "max") { $0 > 0 }
  }

  private func extreme(
    _ value: TemplateValue, _ arguments: TemplateArguments, _ name: String, _ isBetter: (Int) -> Bool
  ) throws(TemplateProblem) -> TemplateValue {
    let values = try arguments.bound(to: ["case_sensitive", "attribute"], function: name)
    let getter = try attributeGetter(values[1])
    let isCaseSensitive = values[0]?.isTrue ?? false
    var best: (element: TemplateValue, key: TemplateValue)?
    for element in try elements(of: value) {
      let key = try folded(try getter(element), isCaseSensitive)
      if let best, try !isBetter(order(key, best.key, name == "min" ? "<" : ">") ?? 0) { continue }
      best = (element, key)
    }
    return best?.element ?? .undefined(TemplateUndefined(.other("No aggregated item, sequence was empty.")))
  }

  func uniqueFilter(_ value: TemplateValue, _ arguments: TemplateArguments) throws(TemplateProblem)
    -> TemplateValue
  {
    let values = try arguments.bound(to: ["case_sensitive", "attribute"], function: "unique")
    let getter = try attributeGetter(values[1])
    let isCaseSensitive = values[0]?.isTrue ?? false
    return .iterator(
      TemplateIterator { () throws(TemplateProblem) in
        var seen: Set<TemplateDictionary.Key> = []
        var kept: [TemplateValue] = []
        for element in try self.elements(of: value) {
          let value = try self.folded(try getter(element), isCaseSensitive)
          try self.look(at: value)
          let key = try TemplateDictionary.Key(value)
          if seen.insert(key).inserted { kept.append(element) }
        }
        return kept
      })
  }

  /// Strings are sorted and told apart without regard to case unless asked otherwise.
  private func folded(_ value: TemplateValue, _ isCaseSensitive: Bool) throws(TemplateProblem)
    -> TemplateValue
  {
    guard !isCaseSensitive, case .string(let text) = value else { return value }
    return try produced(text.loweredPython())
  }
}
