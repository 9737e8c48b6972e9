/// One flag or option of a command, as data: the parser, the help text and the tests all read it.
struct OptionSpecification: Sendable, Equatable {
  enum Arity: Sendable, Equatable {
    /// `--name`
    case flag
    /// `--name VALUE` or `--name=VALUE`; the last one wins.
    case value(placeholder: String)
    /// `--name VALUE…`, as often as wanted.
    case repeated(placeholder: String)
  }

  let name: String
  let arity: Arity
  let help: String
  /// What holds when the option is left out, for the help text.
  let defaultText: String?
  /// Other spellings, among them the short ones (`-o`).
  let aliases: [String]

  static func flag(_ name: String, aliases: [String] = [], _ help: String) -> OptionSpecification {
    OptionSpecification(name: name, arity: .flag, help: help, defaultText: nil, aliases: aliases)
  }

  static func value(
    _ name: String, _ placeholder: String, aliases: [String] = [], default defaultText: String? = nil,
    _ help: String
  ) -> OptionSpecification {
    OptionSpecification(
      name: name, arity: .value(placeholder: placeholder), help: help, defaultText: defaultText,
      aliases: aliases)
  }

  static func repeated(
    _ name: String, _ placeholder: String, aliases: [String] = [], _ help: String
  ) -> OptionSpecification {
    OptionSpecification(
      name: name, arity: .repeated(placeholder: placeholder), help: help, defaultText: nil, aliases: aliases)
  }

  var spellings: [String] { [name] + aliases }
}

/// What a command takes, and the text that explains it.
struct CommandSpecification: Sendable {
  let name: String
  let summary: String
  /// Positional arguments in order, as they stand in the usage line, for example `[MODEL]`.
  let positionals: [Positional]
  let options: [OptionSpecification]
  /// Examples and notes below the options.
  let discussion: String

  struct Positional: Sendable, Equatable {
    let name: String
    let isRequired: Bool
    let help: String
  }

  init(
    name: String, summary: String, positionals: [Positional] = [], options: [OptionSpecification] = [],
    discussion: String = ""
  ) {
    self.name = name
    self.summary = summary
    self.positionals = positionals
    self.options = options + [.flag("--help", aliases: ["-h"], "Show this text.")]
    self.discussion = discussion
  }
}

extension CommandSpecification.Positional {
  static let model = CommandSpecification.Positional(
    name: "MODEL", isRequired: false,
    help: "A Hugging Face directory or a .gguf file; left out, the bundled demo model.")
}
