/// Every way a command line can be wrong. Exit code 64.
enum UsageError: Error, Equatable, CustomStringConvertible {
  case unknownCommand(String, closest: String?)
  case unknownOption(String, command: String, closest: String?)
  case missingValue(option: String, placeholder: String)
  case unexpectedValue(option: String, value: String)
  case invalidValue(option: String, value: String, expected: String)
  case unexpectedArgument(String, command: String)
  case missingArgument(String, command: String)
  case missingOption(String, command: String)
  case conflict(String, String)

  var description: String {
    switch self {
    case .unknownCommand(let name, let closest):
      return "unknown command '\(name)'\(Self.hint(closest)); 'gpuinfer --help' lists the commands"
    case .unknownOption(let name, let command, let closest):
      return "unknown option '\(name)'\(Self.hint(closest)); 'gpuinfer \(command) --help' lists the options"
    case .missingValue(let option, let placeholder):
      return "\(option) needs a value: \(option) \(placeholder)"
    case .unexpectedValue(let option, let value):
      return "\(option) takes no value, but got '\(value)'"
    case .invalidValue(let option, let value, let expected):
      return "\(option): '\(value)' is not \(expected)"
    case .unexpectedArgument(let argument, let command):
      return "unexpected argument '\(argument)'; 'gpuinfer \(command) --help' shows the usage"
    case .missingArgument(let name, let command):
      return "\(name) is missing; 'gpuinfer \(command) --help' shows the usage"
    case .missingOption(let name, let command):
      return "\(name) is required; 'gpuinfer \(command) --help' shows the usage"
    case .conflict(let left, let right):
      return "\(left) and \(right) exclude each other"
    }
  }

  private static func hint(_ closest: String?) -> String { closest.map { " (did you mean '\($0)'?)" } ?? "" }
}
