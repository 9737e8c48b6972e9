internal import JSON

/// Runs one template once. All that costs time or memory is counted against the limits as it happens.
final class TemplateInterpreter {
  let limits: TemplateLimits
  let now: TemplateDate
  let symbols: [String: TemplateSymbol]
  let root = TemplateScope(parent: nil)
  /// The line that is being run, for the error that may come.
  var line = 0
  private var steps = 0
  private var producedBytes = 0
  private var outputBytes = 0
  private var depth = 0
  /// Containers around the value whose text is being made; a namespace can hold itself.
  private var textDepth = 0
  /// What is printed, and, inside bodies whose text is taken as a value, what was printed around them.
  private var outputs: [String] = [""]
  /// Kept to be emptied at the end, because both can be part of cycles.
  private var namespaces: [TemplateNamespace] = []
  private var capturedScopes: [TemplateScope] = []

  init(symbols: [String: TemplateSymbol], limits: TemplateLimits, now: TemplateDate) {
    self.symbols = symbols
    self.limits = limits
    self.now = now
    for function in TemplateFunction.allCases { define(function.rawValue, .function(function)) }
  }

  deinit {
    for namespace in namespaces { namespace.attributes = [:] }
    for scope in capturedScopes { scope.removeAll() }
  }

  /// Sets a variable of the template, unless the template never names it.
  func define(_ name: String, _ value: @autoclosure () -> TemplateValue) {
    if let symbol = symbols[name] { root.set(symbol, to: value()) }
  }

  func render(_ body: [TemplateLine]) throws(TemplateError) -> String {
    do {
      _ = try run(body, in: TemplateScope(parent: root))
    } catch {
      throw TemplateError(error, line: line)
    }
    return outputs[0]
  }
}

extension TemplateInterpreter {
  func step(_ count: Int = 1) throws(TemplateProblem) {
    let (sum, overflow) = steps.addingReportingOverflow(count)
    steps = sum
    if overflow || sum > limits.maxSteps { throw .limit(.steps(limits.maxSteps)) }
  }

  /// To be called before text of this length is made, or looked at as a whole.
  func produce(bytes: Int) throws(TemplateProblem) {
    let (sum, overflow) = producedBytes.addingReportingOverflow(bytes)
    producedBytes = sum
    if overflow || sum > limits.maxProducedBytes { throw .limit(.producedBytes(limits.maxProducedBytes)) }
  }

  /// Counts what it takes to hash or compare a value as a dictionary's key.
  func look(at key: TemplateValue) throws(TemplateProblem) {
    switch key {
    case .string(let text): try produce(bytes: text.utf8.count)
    case .tuple(let sequence) where sequence.depth <= TemplateDictionary.deepestKey:
      for element in sequence.elements { try look(at: element) }
    default: break
    }
  }

  /// Counts the text that an operation made of other text of about the same length.
  func produced(_ text: String) throws(TemplateProblem) -> TemplateValue {
    try produce(bytes: text.utf8.count)
    return .string(text)
  }

  func nested<Result>(_ body: () throws(TemplateProblem) -> Result) throws(TemplateProblem) -> Result {
    if depth >= limits.maxDepth { throw .limit(.depth(limits.maxDepth)) }
    depth += 1
    defer { depth -= 1 }
    return try body()
  }

  func nestedInText(_ body: () throws(TemplateProblem) -> Void) throws(TemplateProblem) {
    if textDepth > TemplateLimits.maxValueDepth { throw .limit(.valueDepth) }
    textDepth += 1
    defer { textDepth -= 1 }
    try body()
  }

  func print(_ text: String) throws(TemplateProblem) {
    outputBytes += text.utf8.count
    if outputBytes > limits.maxOutputBytes { throw .limit(.outputBytes(limits.maxOutputBytes)) }
    outputs[outputs.count - 1] += text
  }

  /// What `body` prints.
  func captured(_ body: () throws(TemplateProblem) -> Void) throws(TemplateProblem) -> String {
    outputs.append("")
    do {
      try body()
    } catch {
      outputs.removeLast()
      throw error
    }
    return outputs.removeLast()
  }

  func makeNamespace() -> TemplateNamespace {
    let namespace = TemplateNamespace()
    namespaces.append(namespace)
    return namespace
  }

  func makeMacro(_ syntax: TemplateMacroSyntax, in scope: TemplateScope) -> TemplateMacro {
    if capturedScopes.last !== scope { capturedScopes.append(scope) }
    return TemplateMacro(syntax, scope: scope)
  }

  /// Values that are kept may not be nested too deep: they are printed, compared and freed recursively.
  func storable(_ value: TemplateValue) throws(TemplateProblem) -> TemplateValue {
    if value.depth > TemplateLimits.maxValueDepth { throw .limit(.valueDepth) }
    return value
  }

  /// The elements that `for`, `list` and most filters see.
  func elements(of value: TemplateValue) throws(TemplateProblem) -> [TemplateValue] {
    let elements: [TemplateValue]
    switch value {
    case .undefined: elements = []
    case .string(let text): elements = text.unicodeScalars.map { .string(String($0)) }
    case .list(let sequence), .tuple(let sequence): elements = sequence.elements
    case .dictionary(let dictionary): elements = dictionary.keys
    case .range(let range): elements = range.elements
    case .view(let view): elements = view.elements
    case .iterator(let iterator): elements = try iterator.takeRest()
    default: throw .type("'\(value.typeName)' object is not iterable")
    }
    try step(elements.count)
    return elements
  }
}
