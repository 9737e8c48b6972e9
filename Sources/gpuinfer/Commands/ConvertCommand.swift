internal import Checkpoints

/// `gpuinfer convert A B --format F`: the same codes and scales in another format.
enum ConvertCommand: Command {
  static let specification = CommandSpecification(
    name: "convert", summary: "Write a quantised model in another format, bit for bit.",
    positionals: [
      .init(name: "MODEL", isRequired: true, help: "The quantised model: a directory or a .gguf file."),
      .init(name: "OUTPUT", isRequired: true, help: "The directory to make."),
    ],
    options: [
      .value("--format", "NAME", "One of: \(CheckpointFormat.names.joined(separator: ", "))."),
      .value(
        "--tokenizer", "DIR",
        "Where the tokenizer's files are copied from; the model's directory if left out."),
    ],
    discussion: """
      No weight is rounded: codes, scales and zeros are moved to where the other format has them, and what it has no
      place for is refused with the reason. To quantise a model, use 'gpuinfer compress'.
      """)

  static func run(_ arguments: ParsedArguments) throws {
    guard let name = arguments.string("--format") else {
      throw UsageError.missingOption("--format", command: "convert")
    }
    guard let format = CheckpointFormat(rawValue: name) else {
      throw UsageError.invalidValue(
        option: "--format", value: name,
        expected: "one of: \(CheckpointFormat.names.joined(separator: ", "))")
    }
    let source = try ModelPath.resolve(arguments.positional(0))
    let output = arguments.positional(1) ?? ""
    let checkpoint = try Checkpoint.open(source)
    let conversion = try CheckpointConversion(checkpoint, to: format)
    guard let tokenizer = arguments.string("--tokenizer") ?? (checkpoint.kind == .gguf ? nil : source) else {
      throw Failure(
        .usage,
        "\(source) keeps its tokenizer in the GGUF file; name a directory with tokenizer.json by --tokenizer")
    }
    try conversion.write(to: output, tokenizer: tokenizer)
    Console.error("\(conversion.layerCount) layers written to \(output) as \(format.rawValue)")
  }
}
