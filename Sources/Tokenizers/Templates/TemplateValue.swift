internal import JSON

/// A value while a template runs, with Python's semantics.
///
/// All but namespaces is immutable: the sandbox that Hugging Face renders in forbids `append` and the like.
enum TemplateValue {
  case undefined(TemplateUndefined)
  case none
  case bool(Bool)
  case integer(Int64)
  case float(Double)
  case string(String)
  case list(TemplateSequence)
  case tuple(TemplateSequence)
  case dictionary(TemplateDictionary)
  case range(TemplateRange)
  case view(TemplateView)
  case iterator(TemplateIterator)
  case namespace(TemplateNamespace)
  case loop(TemplateLoop)
  case macro(TemplateMacro)
  case function(TemplateFunction)
  case method(TemplateMethod)
}

/// Elements and how deep containers are nested in them.
///
/// Depth is checked where values are stored, which bounds the recursion of printing, comparing and freeing
/// them. Namespaces, the one way to build cycles, count as leaves and are emptied when rendering ends.
struct TemplateSequence {
  let elements: [TemplateValue]
  let depth: Int

  init(_ elements: [TemplateValue]) {
    self.elements = elements
    depth = 1 + elements.deepest
  }
}

/// `range(start, stop, step)`; its length is at most `TemplateLimits.maxRangeLength`.
struct TemplateRange: Equatable {
  let start: Int64
  let stop: Int64
  let step: Int64
  let count: Int

  /// Nil when there are too many numbers. The step must not be 0.
  init?(start: Int64, stop: Int64, step: Int64) {
    // In 128 bits nothing below overflows.
    let span = step > 0 ? Int128(stop) - Int128(start) : Int128(start) - Int128(stop)
    let stride = step > 0 ? Int128(step) : -Int128(step)
    let count = span > 0 ? (span + stride - 1) / stride : 0
    guard count <= TemplateLimits.maxRangeLength else { return nil }
    self.start = start
    self.stop = stop
    self.step = step
    self.count = Int(count)
  }

  subscript(index: Int) -> Int64 { start &+ Int64(index) &* step }

  /// Nil when a bound of the new range needs more than 64 bits.
  func sliced(_ places: TemplateSlice) -> TemplateRange? {
    func bound(_ place: Int) -> Int64? { Int64(exactly: Int128(start) + Int128(place) * Int128(step)) }
    let (stride, overflow) = step.multipliedReportingOverflow(by: Int64(places.step))
    guard !overflow, let first = bound(places.first), let last = bound(places.last) else { return nil }
    return TemplateRange(start: first, stop: last, step: stride)
  }

  var elements: [TemplateValue] { (0..<count).map { .integer(self[$0]) } }
}

/// `d.items()`, `d.keys()`, `d.values()`.
struct TemplateView {
  enum Kind: String { case items, keys, values }

  let kind: Kind
  let dictionary: TemplateDictionary

  var elements: [TemplateValue] {
    switch kind {
    case .keys: dictionary.keys
    case .values: dictionary.values
    case .items: zip(dictionary.keys, dictionary.values).map { .tuple(TemplateSequence([$0, $1])) }
    }
  }
}

/// What filters like `map` return: it can be walked through once. What went wrong while its elements were
/// computed is reported only when somebody asks for them, as with Python's generators.
final class TemplateIterator {
  private var rest: Result<ArraySlice<TemplateValue>, TemplateProblem>
  let depth: Int

  init(_ elements: () throws(TemplateProblem) -> [TemplateValue]) {
    do {
      let elements = try elements()
      rest = .success(elements[...])
      depth = 1 + elements.deepest
    } catch {
      rest = .failure(error)
      depth = 1
    }
  }

  func next() throws(TemplateProblem) -> TemplateValue? {
    var elements = try rest.get()
    rest = .success([])
    defer { rest = .success(elements) }
    return elements.popFirst()
  }

  func takeRest() throws(TemplateProblem) -> [TemplateValue] {
    defer { rest = .success([]) }
    return Array(try rest.get())
  }
}

/// `namespace(a=1)`: the one thing a template can change.
final class TemplateNamespace {
  var attributes: [String: TemplateValue] = [:]
  /// In the order they were set first.
  var names: [String] = []

  func set(_ name: String, to value: TemplateValue) {
    if attributes.updateValue(value, forKey: name) == nil { names.append(name) }
  }
}

/// A method of a value, not yet called: `text.strip`.
final class TemplateMethod {
  let receiver: TemplateValue
  let name: String

  init(_ receiver: TemplateValue, _ name: String) {
    self.receiver = receiver
    self.name = name
  }
}

/// What the environment offers under a name.
enum TemplateFunction: String, CaseIterable {
  case range
  case namespace
  case dict
  case raiseException = "raise_exception"
  case strftimeNow = "strftime_now"
}

/// Why a value is undefined, told when somebody uses it.
final class TemplateUndefined: Sendable {
  enum Reason: Sendable {
    case variable(String)
    case attribute(String, typeName: String)
    case parameter(String)
    case unsafe(attribute: String, typeName: String)
    case other(String)
  }

  let reason: Reason

  init(_ reason: Reason) { self.reason = reason }

  var problem: TemplateProblem {
    switch reason {
    case .variable(let name): .undefined("'\(name)' is undefined")
    case .attribute(let name, let typeName): .undefined("'\(typeName) object' has no attribute '\(name)'")
    case .parameter(let name): .undefined("parameter '\(name)' was not provided")
    case .unsafe(let name, let typeName):
      .unsafe("access to attribute '\(name)' of '\(typeName)' object is unsafe")
    case .other(let text): .undefined(text)
    }
  }
}

extension TemplateValue {
  /// What Python's `type(value).__name__` is.
  var typeName: String {
    switch self {
    case .undefined: "Undefined"
    case .none: "NoneType"
    case .bool: "bool"
    case .integer: "int"
    case .float: "float"
    case .string: "str"
    case .list: "list"
    case .tuple: "tuple"
    case .dictionary: "dict"
    case .range: "range"
    case .view(let view): "dict_\(view.kind.rawValue)"
    case .iterator: "generator"
    case .namespace: "Namespace"
    case .loop: "LoopContext"
    case .macro: "Macro"
    case .function: "function"
    case .method: "builtin_function_or_method"
    }
  }

  /// How deep containers are nested.
  var depth: Int {
    switch self {
    case .list(let sequence), .tuple(let sequence): sequence.depth
    case .dictionary(let dictionary): dictionary.depth
    case .view(let view): view.dictionary.depth + 1
    case .iterator(let iterator): iterator.depth
    case .loop(let loop): loop.depth
    case .method(let method): 1 + method.receiver.depth
    default: 0
    }
  }

  var isUndefined: Bool {
    if case .undefined = self { true } else { false }
  }

  var isNone: Bool {
    if case .none = self { true } else { false }
  }

  /// Python's `bool(value)`.
  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .bool(let value): value
    case .integer(let value): value != 0
    case .float(let value): value != 0
    case .string(let text): !text.isEmpty
    case .list(let sequence), .tuple(let sequence): !sequence.elements.isEmpty
    case .dictionary(let dictionary): dictionary.count > 0
    case .range(let range): range.count > 0
    case .view(let view): view.dictionary.count > 0
    case .loop(let loop): loop.count > 0
    case .iterator, .namespace, .macro, .function, .method: true
    }
  }

  static func list(_ elements: [TemplateValue]) -> TemplateValue { .list(TemplateSequence(elements)) }
  static func tuple(_ elements: [TemplateValue]) -> TemplateValue { .tuple(TemplateSequence(elements)) }

  init(_ json: JSONValue) {
    switch json {
    case .null: self = .none
    case .bool(let value): self = .bool(value)
    case .integer(let value): self = .integer(value)
    case .double(let value): self = .float(value)
    case .string(let text): self = .string(text)
    case .array(let elements): self = .list(elements.map { TemplateValue($0) })
    case .object(let members): self = .dictionary(TemplateDictionary(members))
    }
  }
}

extension [TemplateValue] {
  /// The depth of the element nested deepest.
  var deepest: Int { reduce(0) { Swift.max($0, $1.depth) } }
}
