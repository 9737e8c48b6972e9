extension TemplateInterpreter {
  /// `value.name`: methods come before a dictionary's keys, as in Python.
  func attribute(_ name: String, of value: TemplateValue) throws(TemplateProblem) -> TemplateValue {
    if case .undefined(let undefined) = value { throw undefined.problem }
    if let attribute = ownAttribute(name, of: value) { return attribute }
    if case .dictionary(let dictionary) = value, let member = dictionary[name] { return member }
    return missing(name, of: value)
  }

  /// `value[key]`: keys and places come before methods.
  func item(_ key: TemplateValue, of value: TemplateValue) throws(TemplateProblem) -> TemplateValue {
    if case .undefined(let undefined) = value { throw undefined.problem }
    try look(at: key)
    switch (value, key) {
    case (.dictionary(let dictionary), .string(let name)):
      if let member = dictionary[name] { return member }
    case (.dictionary(let dictionary), _):
      // A key that can't be hashed is a missing key here.
      if let member = try? dictionary.value(for: key) {
        return member
      }
    case (.list(let sequence), _), (.tuple(let sequence), _):
      if let place = place(key, count: sequence.elements.count) { return sequence.elements[place] }
    case (.range(let range), _):
      if let place = place(key, count: range.count) { return .integer(range[place]) }
    case (.string(let text), _):
      if key.index != nil {
        try produce(bytes: text.utf8.count)
        let scalars = Array(text.unicodeScalars)
        if let place = place(key, count: scalars.count) { return .string(String(scalars[place])) }
      }
    default: break
    }
    guard case .string(let name) = key else { return missing(try text(of: key), of: value) }
    return ownAttribute(name, of: value) ?? missing(name, of: value)
  }

  private func place(_ key: TemplateValue, count: Int) -> Int? {
    guard let index = key.index.flatMap({ Int(exactly: $0) }) else { return nil }
    let place = index < 0 ? index + count : index
    return place >= 0 && place < count ? place : nil
  }

  private func missing(_ name: String, of value: TemplateValue) -> TemplateValue {
    .undefined(TemplateUndefined(.attribute(name, typeName: value.typeName)))
  }

  /// What Python's `getattr` finds, through the sandbox: some attributes exist, but may not be touched.
  func ownAttribute(_ name: String, of value: TemplateValue) -> TemplateValue? {
    if case .namespace(let namespace) = value { return namespace.attributes[name] }
    if name.hasPrefix("__"), name.hasSuffix("__") { return unsafe(name, of: value) }
    switch value {
    case .loop(let loop): return loop.attribute(name)
    case .macro(let macro):
      switch name {
      case "name": return .string(macro.syntax.symbol.name)
      case "arguments": return .tuple(macro.syntax.parameters.map { .string($0.symbol.name) })
      default: return nil
      }
    default: break
    }
    guard let methods = TemplateMethods.names[value.typeName] else { return nil }
    if methods.safe.contains(name) { return .method(TemplateMethod(value, name)) }
    return methods.unsafe.contains(name) ? unsafe(name, of: value) : nil
  }

  private func unsafe(_ name: String, of value: TemplateValue) -> TemplateValue {
    .undefined(TemplateUndefined(.unsafe(attribute: name, typeName: value.typeName)))
  }
}

extension TemplateInterpreter {
  /// `value[start:stop:step]`
  func slice(
    _ value: TemplateValue, start: TemplateValue, stop: TemplateValue, step: TemplateValue
  ) throws(TemplateProblem) -> TemplateValue {
    if case .undefined(let undefined) = value { throw undefined.problem }
    for bound in [start, stop, step] where !bound.isNone && bound.index == nil {
      throw .type("slice indices must be integers or None, not \(bound.typeName)")
    }
    func places(_ count: Int) throws(TemplateProblem) -> TemplateSlice {
      let slice = try TemplateSlice(count: count, start: start.index, stop: stop.index, step: step.index)
      try self.step(slice.count)
      return slice
    }
    switch value {
    case .string(let text):
      try produce(bytes: text.utf8.count)
      let scalars = Array(text.unicodeScalars)
      return .string(String(String.UnicodeScalarView(try places(scalars.count).map { scalars[$0] })))
    case .list(let sequence): return .list(try places(sequence.elements.count).map { sequence.elements[$0] })
    case .tuple(let sequence):
      return .tuple(try places(sequence.elements.count).map { sequence.elements[$0] })
    case .range(let range):
      guard let part = range.sliced(try places(range.count)) else { throw .integerOverflow }
      return .range(part)
    default: throw .type("'\(value.typeName)' object can't be sliced")
    }
  }
}

/// The places a slice takes, by Python's rules for bounds that are left out, negative or too large.
struct TemplateSlice: Sequence {
  let first: Int
  let last: Int
  let step: Int

  init(count: Int, start: Int64?, stop: Int64?, step: Int64?) throws(TemplateProblem) {
    let step = Int(step ?? 1)
    if step == 0 { throw .value("slice step cannot be zero") }
    let (lowest, highest) = step > 0 ? (0, count) : (-1, count - 1)
    func clamped(_ bound: Int64?, _ missing: Int) -> Int {
      guard let bound else { return missing }
      let place = bound < 0 ? Int(bound) + count : Int(bound)
      return Swift.min(Swift.max(place, lowest), highest)
    }
    first = clamped(start, step > 0 ? lowest : highest)
    last = clamped(stop, step > 0 ? highest : lowest)
    self.step = step
  }

  /// How many there are at most.
  var count: Int { Swift.max(0, step > 0 ? last - first : first - last) }

  func makeIterator() -> StrideToIterator<Int> { stride(from: first, to: last, by: step).makeIterator() }
}
