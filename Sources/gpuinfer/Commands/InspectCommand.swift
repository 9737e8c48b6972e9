internal import Checkpoints
internal import JSON

/// `gpuinfer inspect`: what a checkpoint holds, read from its directories without touching a weight.
enum InspectCommand: Command {
  static let specification = CommandSpecification(
    name: "inspect", summary: "Show a checkpoint's architecture, tensors, bytes and formats.",
    positionals: [.model],
    options: [
      .flag("--json", "Print one JSON document."),
      .flag("--tensors", "List every tensor."),
    ])

  static func run(_ arguments: ParsedArguments) throws {
    let summary = CheckpointSummary(try Checkpoint.open(try ModelPath.resolve(arguments.positional(0))))
    if arguments.has("--json") {
      return Console.write(summary.json.serialized() + "\n")
    }
    var rows = [
      ("path", summary.path), ("kind", summary.kind.rawValue),
      ("architecture", summary.architecture ?? "not named"),
      ("parameters", grouped(summary.parameterCount)),
      ("tensors", "\(summary.tensors.count), \(readableBytes(summary.tensorBytes))"),
      ("files", "\(summary.files.count), \(readableBytes(summary.fileBytes))"),
    ]
    if let quantization = summary.quantization { rows.append(("quantization", quantization)) }
    for format in summary.formats {
      rows.append((format.name, "\(format.tensors) tensors, \(readableBytes(format.bytes))"))
    }
    var text = table(rows, leftWidth: 15)
    if arguments.has("--tensors") {
      text += "\n"
      for tensor in summary.tensors { text += "  \(tensor.name)  \(tensor.format) \(tensor.shape)\n" }
    }
    Console.write(text)
  }

  /// Digits in groups of three: 5,180,672.
  private static func grouped(_ value: Int) -> String {
    var text = ""
    let digits = String(value)
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { text += "," }
      text.append(digit)
    }
    return text
  }
}
