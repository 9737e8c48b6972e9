internal import CPUBackend
internal import Checkpoints
internal import Compression
internal import Compute
internal import JSON
internal import Models
internal import Tokenizers

/// The recipe of `compress`, from a file and from flags, which win.
enum CompressFlags {
  static let options: [OptionSpecification] = [
    .value("--method", "NAME", "What to do; see below."),
    .value("--recipe", "FILE", "All settings as JSON; flags beside it win."),
    .value("--bits", "B", default: "the method's", "Bits of a weight: 2, 3, 4 or 8."),
    .value(
      "--group-size", "G", default: "the method's", "Inputs that share a scale; -1: one scale an output."),
    .value(
      "--grid", "GRID", default: "the method's", "symmetric, symmetric-narrow, symmetric-full or asymmetric."),
    .value(
      "--activations", "HOW", default: "the method's", "none, or int8 by token, or by tensor (calibrated)."),
    .value("--sparsity", "S", "Part of the weights to prune (0.5), or zeros in a run (2:4, 4:8)."),
    .value("--act-order", "ORDER", default: "static", "GPTQ: none, static, group or gar."),
    .flag("--static-groups", "GPTQ: fit all groups before the sweep."),
    .value("--block-size", "N", default: "128", "Columns of a sweep block."),
    .value("--damping", "F", default: "0.01", "Part of the mean added to the diagonal of the Gram matrix."),
    .value("--smoothing", "A", default: "0.5", "SmoothQuant's alpha; search: pick it for each layer."),
    .flag("--no-clip", "AWQ: search scales only."),
    .value("--rank", "R", default: "the method's", "Rank of a correction of the rounding error; 0: none."),
    .value("--outlier-columns", "F", default: "0.01", "OWQ: part of the inputs kept in 16 bits."),
    .value("--outlier-threshold", "T", default: "the method's", "LLM.int8: activations; SpQR: weights."),
    .value("--prune-heads", "F", default: "0", "structured: part of the heads to take out."),
    .value("--prune-channels", "F", default: "0", "structured: part of the channels to take out."),
    .flag(
      "--uniform", "structured: as many of every layer, so that any program loads the output."),
    .value("--prune-layers", "F", default: "0", "structured: part of the layers to take out whole."),
    .value(
      "--prune-hidden", "F", default: "0",
      "structured: part of the residual stream's components to take out of the whole model."),
    .value(
      "--error-budget", "E",
      "Pruning: as much of each layer as changes its outputs by this part at most (squared), up to --sparsity."
    ),
    .flag("--no-true-sequential", "Measure a layer's inputs before any of it is compressed."),
    .value("--budget", "SIZE", "Bytes for all compressed layers; bits are chosen layer by layer."),
    .repeated("--skip", "PATTERN", "Modules to leave alone, such as '*.down_proj' or 'layers.0.*'."),
  ]

  static func recipe(_ arguments: ParsedArguments) throws -> Recipe {
    var recipe: Recipe
    if let path = arguments.string("--recipe") {
      var json = try JSONValue.parse(try Files.read(path, limit: 16 << 20))
      if let name = arguments.string("--method"), var object = json.object {
        object["method"] = .string(name)
        json = .object(object)
      }
      recipe = try Recipe(json)
    } else {
      let name = try arguments.require("--method", command: "compress")
      guard let method = MethodRegistry.method(named: name) else {
        let known = MethodRegistry.methods.map(\.name).joined(separator: ", ")
        throw UsageError.invalidValue(option: "--method", value: name, expected: "one of: \(known)")
      }
      recipe = method.defaults
    }
    try apply(arguments, to: &recipe.scheme)
    try apply(arguments, to: &recipe.options)
    if let budget = try arguments.byteCount("--budget") { recipe.budgetBytes = budget }
    for pattern in arguments.strings("--skip") {
      var override = Recipe.Override(pattern: pattern)
      override.skip = true
      recipe.overrides.append(override)
    }
    return recipe
  }

  private static func apply(_ arguments: ParsedArguments, to scheme: inout LayerScheme) throws {
    if let bits = try arguments.integer("--bits", in: 2...8) {
      guard IntegerWeight.supportedBits.contains(bits) else {
        throw UsageError.invalidValue(option: "--bits", value: "\(bits)", expected: "2, 3, 4 or 8")
      }
      scheme.bits = bits
    }
    if let size = try arguments.integer("--group-size", in: -1...(1 << 20)) {
      guard size != 0 else {
        throw UsageError.invalidValue(
          option: "--group-size", value: "0", expected: "-1 or a number of inputs")
      }
      scheme.groupSize = size == -1 ? nil : size
    }
    if let grid = try arguments.choice("--grid", as: GridConvention.self) { scheme.convention = grid }
    if let activations = try arguments.choice("--activations", as: LayerScheme.Activations.self) {
      scheme.activations = activations
    }
    if let text = arguments.string("--sparsity") {
      guard let sparsity = Sparsity(text) else {
        throw UsageError.invalidValue(
          option: "--sparsity", value: text, expected: "a part such as 0.5, or a pattern such as 2:4")
      }
      scheme.sparsity = sparsity
    }
  }

  private static func apply(_ arguments: ParsedArguments, to options: inout Recipe.Options) throws {
    if let order = try arguments.choice("--act-order", as: Recipe.ActOrder.self) { options.actOrder = order }
    if arguments.has("--static-groups") { options.staticGroups = true }
    if let size = try arguments.integer("--block-size", in: 1...256) { options.blockSize = size }
    if let damping = try arguments.number("--damping", in: 0...1000) { options.damping = damping }
    if arguments.string("--smoothing") == "search" {
      options.smoothing = nil
    } else if let alpha = try arguments.number("--smoothing", in: 0...1) {
      options.smoothing = alpha
    }
    if arguments.has("--no-clip") { options.clips = false }
    if let rank = try arguments.integer("--rank", in: 0...4096) { options.rank = rank }
    if let part = try arguments.number("--outlier-columns", in: 0...1) { options.outlierColumns = part }
    if let threshold = try arguments.number("--outlier-threshold", in: 0...1e9) {
      options.outlierThreshold = threshold
    }
    if arguments.has("--no-true-sequential") { options.trueSequential = false }
    if let budget = try arguments.number("--error-budget", in: 0...1) { options.errorBudget = budget }
  }

  /// Samples from a file of ids, or from text through the model's tokenizer; nil where none was named.
  static func calibration(
    _ arguments: ParsedArguments, _ source: Checkpoint, _ configuration: ModelConfiguration
  ) throws -> CalibrationSet? {
    guard let path = arguments.string("--calibration") else { return nil }
    let count = try arguments.integer("--samples", in: 1...1_000_000) ?? 128
    let length = try arguments.integer("--sequence-length", in: 1...1_000_000) ?? 512
    if path.hasSuffix(".safetensors") {
      return try CalibrationSet(file: path, count: count, vocabulary: configuration.vocabularySize)
    }
    let tokens = try LoadedTokenizer.load(source).encode(try Files.read(path), addSpecialTokens: false)
    if let id = tokens.first(where: { $0 < 0 || $0 >= configuration.vocabularySize }) {
      throw Failure(.badData, "the tokenizer gives token \(id), which the model does not have")
    }
    return try CalibrationSet(text: tokens, source: path, count: count, length: length)
  }
}
