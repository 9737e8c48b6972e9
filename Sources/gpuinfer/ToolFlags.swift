internal import Server

/// The flags about calls of tools, of every command that answers chats.
enum ToolFlags {
  private static let dialects = ToolDialect.allCases.map(\.rawValue).joined(separator: ", ")

  static let options: [OptionSpecification] = [
    .flag(
      "--enable-auto-tool-choice",
      "Let the model decide whether it calls a tool; needs --tool-call-parser."),
    .value("--tool-call-parser", "NAME", "How the model writes calls of tools: \(dialects)."),
  ]

  static func apply(_ arguments: ParsedArguments, to options: inout ServerOptions) throws {
    options.enablesAutoToolChoice = arguments.has("--enable-auto-tool-choice")
    if let name = arguments.string("--tool-call-parser") {
      guard let dialect = ToolDialect(rawValue: name) else {
        throw UsageError.invalidValue(
          option: "--tool-call-parser", value: name, expected: "one of: \(dialects)")
      }
      options.toolDialect = dialect
    }
    if options.enablesAutoToolChoice, options.toolDialect == nil {
      throw UsageError.missingOption("--tool-call-parser", command: "--enable-auto-tool-choice")
    }
  }
}
