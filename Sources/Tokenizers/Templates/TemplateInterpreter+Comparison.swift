internal import JSON

extension TemplateInterpreter {
  /// Python's `==`.
  func isEqual(_ a: TemplateValue, _ b: TemplateValue) throws(TemplateProblem) -> Bool {
    try step()
    switch (a, b) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.string(let a), .string(let b)):
      if a.utf8.count != b.utf8.count { return false }
      try produce(bytes: a.utf8.count)
      return a.hasSameBytes(as: b)
    case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
      return try isEqual(a.elements, b.elements)
    case (.dictionary(let a), .dictionary(let b)):
      guard a.count == b.count else { return false }
      for (key, value) in zip(a.keys, a.values) {
        try look(at: key)
        guard let other = try b.value(for: key), try isEqual(value, other) else { return false }
      }
      return true
    case (.range(let a), .range(let b)): return try isEqual(a.elements, b.elements)
    case (.namespace(let a), .namespace(let b)): return a === b
    case (.macro(let a), .macro(let b)): return a === b
    case (.loop(let a), .loop(let b)): return a === b
    case (.iterator(let a), .iterator(let b)): return a === b
    case (.function(let a), .function(let b)): return a == b
    default: return numericOrder(a, b) == 0
    }
  }

  private func isEqual(_ a: [TemplateValue], _ b: [TemplateValue]) throws(TemplateProblem) -> Bool {
    guard a.count == b.count else { return false }
    for (a, b) in zip(a, b) where try !isEqual(a, b) { return false }
    return true
  }

  /// Negative, zero or positive as `a` comes before, with or after `b`; nil when one is not a number. The
  /// operator is for the message only.
  func order(_ a: TemplateValue, _ b: TemplateValue, _ comparison: String) throws(TemplateProblem) -> Int? {
    try step()
    switch (a, b) {
    case (.undefined(let undefined), _), (_, .undefined(let undefined)): throw undefined.problem
    case (.string(let a), .string(let b)):
      try produce(bytes: min(a.utf8.count, b.utf8.count))
      if a.utf8.lexicographicallyPrecedes(b.utf8) { return -1 }
      return a.hasSameBytes(as: b) ? 0 : 1
    case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
      for (a, b) in zip(a.elements, b.elements) where try !isEqual(a, b) {
        return try order(a, b, comparison)
      }
      return a.elements.count - b.elements.count
    default:
      guard a.isNumber, b.isNumber else {
        throw .type(
          "'\(comparison)' not supported between instances of '\(a.typeName)' and '\(b.typeName)'")
      }
      return numericOrder(a, b)
    }
  }

  /// Nil for anything but numbers, and next to NaN.
  private func numericOrder(_ a: TemplateValue, _ b: TemplateValue) -> Int? {
    if let a = a.index, let b = b.index { return a < b ? -1 : a > b ? 1 : 0 }
    guard let x = a.double, let y = b.double, !x.isNaN, !y.isNaN else { return nil }
    if x != y { return x < y ? -1 : 1 }
    // The same as doubles, but a whole number of more than 53 bits may have been rounded.
    if let whole = a.index, let exact = Int64(exactly: y) {
      return whole < exact ? -1 : whole > exact ? 1 : 0
    }
    if let whole = b.index, let exact = Int64(exactly: x) {
      return exact < whole ? -1 : exact > whole ? 1 : 0
    }
    return 0
  }

  /// Python's `element in container`.
  func contains(_ container: TemplateValue, _ element: TemplateValue) throws(TemplateProblem) -> Bool {
    try look(at: element)
    switch container {
    case .string(let text):
      guard case .string(let part) = element else {
        throw .type("'in <string>' requires string as left operand, not \(element.typeName)")
      }
      try produce(bytes: text.utf8.count)
      return text.firstPlace(of: part) != nil
    case .dictionary(let dictionary): return try dictionary.value(for: element) != nil
    case .view(let view) where view.kind == .keys: return try view.dictionary.value(for: element) != nil
    case .undefined: return false
    default:
      guard container.isIterable else {
        throw .type("argument of type '\(container.typeName)' is not iterable")
      }
      for candidate in try elements(of: container) where try isEqual(candidate, element) { return true }
      return false
    }
  }

  /// A stable sort; Python's `sorted`.
  func sorted<Element>(
    _ elements: [Element], descending: Bool = false,
    by key: (Element) throws(TemplateProblem) -> TemplateValue
  ) throws(TemplateProblem) -> [Element] {
    var keyed: [(element: Element, key: TemplateValue)] = []
    for element in elements { keyed.append((element, try key(element))) }
    var width = 1
    while width < keyed.count {
      var merged: [(element: Element, key: TemplateValue)] = []
      merged.reserveCapacity(keyed.count)
      for start in stride(from: 0, to: keyed.count, by: 2 * width) {
        let middle = min(start + width, keyed.count)
        let end = min(start + 2 * width, keyed.count)
        var (left, right) = (start, middle)
        while left < middle, right < end {
          let order = try order(keyed[right].key, keyed[left].key, "<") ?? 1
          if descending ? order > 0 : order < 0 {
            merged.append(keyed[right])
            right += 1
          } else {
            merged.append(keyed[left])
            left += 1
          }
        }
        merged += keyed[left..<middle]
        merged += keyed[right..<end]
      }
      keyed = merged
      width *= 2
    }
    return keyed.map(\.element)
  }
}

extension TemplateValue {
  var isNumber: Bool {
    switch self {
    case .bool, .integer, .float: true
    default: false
    }
  }

  var double: Double? {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .integer(let value): Double(value)
    case .float(let value): value
    default: nil
    }
  }

  var isIterable: Bool {
    switch self {
    case .undefined, .string, .list, .tuple, .dictionary, .range, .view, .iterator, .loop: true
    default: false
    }
  }
}
