extension CommandSpecification {
  /// Usage, arguments, options with their defaults, and the discussion, wrapped to 100 columns.
  var helpText: String {
    var usage = "gpuinfer \(name)"
    for positional in positionals {
      usage += positional.isRequired ? " \(positional.name)" : " [\(positional.name)]"
    }
    var text = "\(summary)\n\nUsage: \(usage) [options]\n"
    if !positionals.isEmpty {
      text += "\nArguments:\n" + table(positionals.map { ($0.name, $0.help) })
    }
    text += "\nOptions:\n" + table(options.map { ($0.column, $0.explanation) })
    if !discussion.isEmpty { text += "\n" + discussion + "\n" }
    return text
  }
}

extension OptionSpecification {
  fileprivate var column: String {
    let names = spellings.joined(separator: ", ")
    switch arity {
    case .flag: return names
    case .value(let placeholder), .repeated(let placeholder): return "\(names) \(placeholder)"
    }
  }

  fileprivate var explanation: String {
    var text = help
    if case .repeated = arity { text += " May be repeated." }
    if let defaultText { text += " (default: \(defaultText))" }
    return text
  }
}

/// Two columns; a left entry too wide for its column gets a line of its own.
func table(_ rows: [(String, String)], leftWidth: Int = 30, width: Int = 100) -> String {
  var text = ""
  for (left, right) in rows {
    var line = "  " + left
    if left.count > leftWidth - 2 {
      text += line + "\n"
      line = ""
    }
    line += String(repeating: " ", count: leftWidth + 2 - line.count)
    var column = leftWidth + 2
    for word in right.split(separator: " ") {
      if column + word.count > width {
        text += line + "\n"
        line = String(repeating: " ", count: leftWidth + 2)
        column = leftWidth + 2
      }
      line += word + " "
      column += word.count + 1
    }
    while line.last == " " { line.removeLast() }
    text += line + "\n"
  }
  return text
}
