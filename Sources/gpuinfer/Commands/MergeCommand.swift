internal import Checkpoints
internal import Models

/// `gpuinfer merge BASE ADAPTER OUTPUT`: an adapter written into its base's weights.
enum MergeCommand: Command {
  /// A merged model in which rounding takes this much of the adapter deserves a word.
  private static let notableShare = 0.05

  static let specification = CommandSpecification(
    name: "merge", summary: "Write a LoRA adapter into the weights of its model.",
    positionals: [
      .init(name: "BASE", isRequired: true, help: "The model's directory, not quantised."),
      .init(name: "ADAPTER", isRequired: true, help: "The directory of a PEFT adapter."),
      .init(name: "OUTPUT", isRequired: true, help: "The directory to make."),
    ],
    options: [],
    discussion: """
      The output has the files, names and types of the base. Each merged weight is summed in double precision and
      rounded once. A quantised base is refused: its codes would be rounded again. Serve such a model with the adapter
      beside it ('gpuinfer serve --lora-modules NAME=ADAPTER'), or merge into the original and compress the result.
      """)

  static func run(_ arguments: ParsedArguments) throws {
    let base = arguments.positional(0) ?? ""
    let adapter = arguments.positional(1) ?? ""
    let output = arguments.positional(2) ?? ""
    let report = try AdapterMerge(try Checkpoint.open(base), adapter: adapter).write(to: output)
    Console.error(
      "\(report.layers) layers of rank \(report.rank) or less merged into \(output); rounding took "
        + "\(fixed(100 * report.roundingShare, 2)) % of the change")
    if report.roundingShare > notableShare {
      Console.error(
        "note: the base's type is coarse beside this adapter's changes; converted to float32 first, or with the adapter "
          + "served beside it, the model would lose nothing")
    }
  }
}
