/// A command line, split by its specification. Typed getters check values and name the option when they are wrong.
struct ParsedArguments: Equatable {
  private(set) var positionals: [String] = []
  private var values: [String: [String]] = [:]
  private var flags: Set<String> = []

  init(_ arguments: [String], for command: CommandSpecification) throws(UsageError) {
    var optionsBySpelling: [String: OptionSpecification] = [:]
    for option in command.options {
      for spelling in option.spellings { optionsBySpelling[spelling] = option }
    }
    var rest = arguments[...]
    var onlyPositionals = false
    while let argument = rest.popFirst() {
      if onlyPositionals || argument == "-" || !argument.hasPrefix("-") {
        positionals.append(argument)
        continue
      }
      if argument == "--" {
        onlyPositionals = true
        continue
      }
      let split = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let spelling = String(split[0])
      let inlineValue = split.count == 2 ? String(split[1]) : nil
      guard let option = optionsBySpelling[spelling] else {
        let closest = closestMatch(to: spelling, among: optionsBySpelling.keys.sorted())
        throw .unknownOption(spelling, command: command.name, closest: closest)
      }
      switch option.arity {
      case .flag:
        if let inlineValue { throw .unexpectedValue(option: option.name, value: inlineValue) }
        flags.insert(option.name)
      case .value(let placeholder), .repeated(let placeholder):
        guard let value = inlineValue ?? rest.popFirst() else {
          throw .missingValue(option: option.name, placeholder: placeholder)
        }
        if case .value = option.arity {
          values[option.name] = [value]
        } else {
          values[option.name, default: []].append(value)
        }
      }
    }
    if flags.contains("--help") { return }
    if positionals.count > command.positionals.count {
      throw .unexpectedArgument(positionals[command.positionals.count], command: command.name)
    }
    for (index, positional) in command.positionals.enumerated()
    where positional.isRequired && index >= positionals.count {
      throw .missingArgument(positional.name, command: command.name)
    }
  }

  func has(_ flag: String) -> Bool { flags.contains(flag) }

  func positional(_ index: Int) -> String? { index < positionals.count ? positionals[index] : nil }

  func string(_ option: String) -> String? { values[option]?.last }

  func strings(_ option: String) -> [String] { values[option] ?? [] }

  func require(_ option: String, command: String) throws(UsageError) -> String {
    guard let value = string(option) else { throw .missingOption(option, command: command) }
    return value
  }

  func integer(_ option: String, in range: ClosedRange<Int>) throws(UsageError) -> Int? {
    guard let text = string(option) else { return nil }
    guard let value = Int(text), range.contains(value) else {
      let upper = range.upperBound == .max ? "or more" : "to \(range.upperBound)"
      throw .invalidValue(
        option: option, value: text, expected: "a whole number, \(range.lowerBound) \(upper)")
    }
    return value
  }

  /// A finite number.
  func number(_ option: String, in range: ClosedRange<Double>) throws(UsageError) -> Double? {
    guard let text = string(option) else { return nil }
    guard let value = Double(text), value.isFinite, range.contains(value) else {
      throw .invalidValue(
        option: option, value: text, expected: "a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  func choice<Value: RawRepresentable & CaseIterable>(
    _ option: String, as type: Value.Type
  ) throws(UsageError) -> Value? where Value.RawValue == String {
    guard let text = string(option) else { return nil }
    guard let value = Value(rawValue: text) else {
      let known = Value.allCases.map(\.rawValue).joined(separator: ", ")
      throw .invalidValue(option: option, value: text, expected: "one of: \(known)")
    }
    return value
  }

  /// A count of bytes, plain or with a binary suffix: `512M`, `2GiB`, `1.5G`.
  func byteCount(_ option: String) throws(UsageError) -> Int? {
    guard let text = string(option) else { return nil }
    let wrong = UsageError.invalidValue(
      option: option, value: text, expected: "a size such as 800000000, 512M or 2GiB")
    let digits = text.prefix { $0.isNumber || $0 == "." }
    let factor: Double
    switch text.dropFirst(digits.count).lowercased() {
    case "", "b": factor = 1
    case "k", "kb", "kib": factor = 1024
    case "m", "mb", "mib": factor = 1024 * 1024
    case "g", "gb", "gib": factor = 1024 * 1024 * 1024
    default: throw wrong
    }
    guard let number = Double(digits), number > 0, let bytes = Int(exactly: (number * factor).rounded())
    else {
      throw wrong
    }
    return bytes
  }
}

/// The candidate that a typing slip most likely meant, or nil when none is near.
func closestMatch(to text: String, among candidates: [String]) -> String? {
  let limit = max(2, text.count / 3)
  var best: (candidate: String, distance: Int)?
  for candidate in candidates {
    let distance = editDistance(text, candidate)
    if distance <= limit, distance < (best?.distance ?? .max) { best = (candidate, distance) }
  }
  return best?.candidate
}

/// Levenshtein distance in characters.
private func editDistance(_ left: String, _ right: String) -> Int {
  let right = Array(right)
  var previous = Array(0...right.count)
  for (row, character) in left.enumerated() {
    var current = [row + 1]
    for column in right.indices {
      let substitution = previous[column] + (character == right[column] ? 0 : 1)
      current.append(min(substitution, previous[column + 1] + 1, current[column] + 1))
    }
    previous = current
  }
  return previous[right.count]
}
