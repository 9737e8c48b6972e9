internal import Glibc

/// One command of the command line; one file each in `Commands/`.
protocol Command: SendableMetatype {
  static var specification: CommandSpecification { get }
  static func run(_ arguments: ParsedArguments) throws
}

@main
enum Main {
  static let version = "0.1.0"

  static let commands: [any Command.Type] = [
    ServeCommand.self, RunCommand.self, BatchCommand.self, TokenizeCommand.self, ScoreCommand.self,
    EvalCommand.self, CompressCommand.self, VerifyCommand.self, InspectCommand.self, ConvertCommand.self,
    MergeCommand.self,
    DoctorCommand.self, BenchCommand.self,
  ]

  static func main() {
    // A closed pipe or socket is an error of that write, not the end of the process.
    signal(SIGPIPE, SIG_IGN)
    let code = run(Array(CommandLine.arguments.dropFirst()))
    exit(code.rawValue)
  }

  /// Runs a whole command line and reports its failure on stderr.
  static func run(_ arguments: [String]) -> ExitCode {
    do {
      try dispatch(arguments)
      return .success
    } catch {
      let failure = Failure(describing: error)
      if !failure.message.isEmpty { Console.error("gpuinfer: \(failure.message)") }
      return failure.code
    }
  }

  private static func dispatch(_ arguments: [String]) throws {
    guard let name = arguments.first else {
      Console.error(overview)
      throw Failure(.usage, "")
    }
    switch name {
    case "--help", "-h", "help": return Console.write(overview)
    case "--version", "version": return Console.write("gpuinfer \(version)\n")
    default: break
    }
    guard let command = commands.first(where: { $0.specification.name == name }) else {
      let names = commands.map { $0.specification.name }
      throw UsageError.unknownCommand(name, closest: closestMatch(to: name, among: names))
    }
    let parsed = try ParsedArguments(Array(arguments.dropFirst()), for: command.specification)
    if parsed.has("--help") { return Console.write(command.specification.helpText) }
    try command.run(parsed)
  }

  static var overview: String {
    """
    gpuinfer \(version): run, serve and compress language models

    Usage: gpuinfer COMMAND [MODEL] [options]

    Commands:
    \(table(commands.map { ($0.specification.name, $0.specification.summary) }, leftWidth: 12))
    MODEL is a Hugging Face directory or a .gguf file; left out, the bundled demo model is used.
    'gpuinfer COMMAND --help' explains one command.

    """
  }
}
