internal import Checkpoints
internal import Numerics

/// `gpuinfer convert A B --format F`: the same codes and scales in another format.
enum ConvertCommand: Command {
  private static let formats = CheckpointFormat.names + ["gguf"]

  static let specification = CommandSpecification(
    name: "convert", summary: "Write a model in another format; codes of a quantised one bit for bit.",
    positionals: [
      .init(name: "MODEL", isRequired: true, help: "A model directory or a .gguf file."),
      .init(name: "OUTPUT", isRequired: true, help: "The directory, or for gguf the file, to make."),
    ],
    options: [
      .value("--format", "NAME", "One of: \(formats.joined(separator: ", "))."),
      .value(
        "--type", "NAME", default: "Q8_0",
        "gguf: what plain matrices become, one of: \(GGUFConversion.types.map(\.name).joined(separator: ", "))."
      ),
      .value(
        "--tokenizer", "DIR", "Where the tokenizer's files are; the model's directory if left out."),
    ],
    discussion: """
      Codes, scales and zeros of quantised layers are moved to where the other format has them, none is rounded, and
      what the format has no place for is refused with the reason. To quantise a model, use 'gpuinfer compress'; only
      gguf rounds plain matrices here, by ggml's own rules.
      """)

  static func run(_ arguments: ParsedArguments) throws {
    guard let name = arguments.string("--format") else {
      throw UsageError.missingOption("--format", command: "convert")
    }
    guard formats.contains(name) else {
      throw UsageError.invalidValue(
        option: "--format", value: name, expected: "one of: \(formats.joined(separator: ", "))")
    }
    let source = try ModelPath.resolve(arguments.positional(0))
    let output = arguments.positional(1) ?? ""
    let checkpoint = try Checkpoint.open(source)
    guard let tokenizer = arguments.string("--tokenizer") ?? (checkpoint.kind == .gguf ? nil : source) else {
      throw Failure(
        .usage,
        "\(source) keeps its tokenizer in the GGUF file; name a directory with tokenizer.json by --tokenizer")
    }
    if let format = CheckpointFormat(rawValue: name) {
      let conversion = try CheckpointConversion(checkpoint, to: format)
      try conversion.write(to: output, tokenizer: tokenizer)
      Console.error("\(conversion.layerCount) layers written to \(output) as \(name)")
    } else {
      let conversion = try GGUFConversion(checkpoint, type: try type(arguments))
      for tensor in conversion.fallbacks {
        Console.error("\(tensor): its rows are no whole blocks of that type; written as Q8_0 or F16")
      }
      try conversion.write(to: output, tokenizer: tokenizer)
      Console.error("written to \(output)")
    }
  }

  private static func type(_ arguments: ParsedArguments) throws -> GGMLType {
    let name = arguments.string("--type") ?? "Q8_0"
    guard let type = GGUFConversion.types.first(where: { $0.name == name.uppercased() }) else {
      throw UsageError.invalidValue(
        option: "--type", value: name,
        expected: "one of: \(GGUFConversion.types.map(\.name).joined(separator: ", "))")
    }
    return type
  }
}
