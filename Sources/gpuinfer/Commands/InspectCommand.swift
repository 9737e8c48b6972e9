internal import Checkpoints
internal import JSON
internal import Models

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
    let checkpoint = try Checkpoint.open(try ModelPath.resolve(arguments.positional(0)))
    let summary = CheckpointSummary(checkpoint)
    let use = TensorUse(checkpoint)
    if arguments.has("--json") {
      guard case .object(var members) = summary.json else { return }
      members["unused_tensors"] = use.unused.map { .array($0.map { .string($0) }) } ?? .null
      members["unsupported"] = use.obstacle.map { .string($0) } ?? .null
      members["on_devices"] = .array(use.onDevices.map(\.json))
      return Console.write(JSONValue.object(members).serialized() + "\n")
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
    if let obstacle = use.obstacle { rows.append(("not runnable", obstacle)) }
    for form in use.onDevices { rows.append(("on a device", form.text)) }
    if let unused = use.unused, !unused.isEmpty {
      let shown = unused.prefix(Self.namesShown).joined(separator: ", ")
      let rest = unused.count > Self.namesShown ? ", …" : ""
      rows.append(("unused", "\(unused.count) tensors that the model does not read: \(shown)\(rest)"))
    }
    var text = table(rows, leftWidth: 15)
    if arguments.has("--tensors") {
      text += "\n"
      for tensor in summary.tensors { text += "  \(tensor.name)  \(tensor.format) \(tensor.shape)\n" }
    }
    Console.write(text)
  }

  private static let namesShown = 4

  /// What a model made of the checkpoint reads of it.
  private struct TensorUse {
    /// nil when it cannot be run.
    var unused: [String]?
    /// Why it cannot be run.
    var obstacle: String?
    /// Its quantised weights, by what they are stored as.
    var onDevices: [DeviceForm] = []

    init(_ checkpoint: Checkpoint) {
      do {
        let configuration = try ModelRegistry.configuration(from: checkpoint.configuration)
        let inventory = try TensorInventory(configuration, in: checkpoint)
        unused = inventory.unused
        let modules = inventory.sites(configuration).joined().map(\.module) + [inventory.output]
        onDevices = try DeviceForm.forms(of: modules, checkpoint)
      } catch {
        obstacle = "\(error)"
      }
    }
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
