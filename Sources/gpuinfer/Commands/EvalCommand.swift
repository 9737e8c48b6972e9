internal import Compute
internal import Generation
internal import JSON
internal import Models
internal import Numerics
internal import Tokenizers

/// `gpuinfer eval`: perplexity of a text.
enum EvalCommand: Command {
  static let specification = CommandSpecification(
    name: "eval", summary: "Measure the perplexity of a text.", positionals: [.model],
    options: [
      .value("--text", "FILE", "The text, UTF-8; - is standard input."),
      .value("--context", "N", default: "256", "Tokens in a window."),
      .value("--stride", "N", default: "the context", "Tokens from one window to the next."),
      .value("--limit-windows", "N", "Measure only the first N windows."),
      .value(
        "--against", "MODEL", "Compare predictions with this model's, token by token; MODEL is the candidate."
      ),
      .flag(
        "--stream", "Read the text (or its first --context tokens) as one stream, as a server reads a prompt."
      ),
      .flag("--json", "Print one JSON document."), CacheTypeFlag.option, QuantizationFlag.option,
    ] + EngineFlags.options.filter { $0.name == "--kv-policy" } + DeviceChoice.options,
    discussion: """
      The text is encoded whole, without special tokens, and cut into windows; a last short one is left out. Each
      window is computed alone; all its tokens but the first are scored, or with a smaller stride its last ones.
      """)

  static func run(_ arguments: ParsedArguments) throws {
    let textPath = try arguments.require("--text", command: specification.name)
    let context = try arguments.integer("--context", in: 2...1_000_000) ?? 256
    if arguments.has("--stream") {
      for option in ["--stride", "--limit-windows", "--against"] where arguments.string(option) != nil {
        throw UsageError.conflict("--stream", option)
      }
      return try EvalStream.run(
        arguments, textPath: textPath, length: arguments.string("--context") == nil ? nil : context)
    }
    if arguments.string("--kv-policy") != nil {
      throw UsageError.missingOption("--stream", command: "eval --kv-policy")
    }
    let stride = try arguments.integer("--stride", in: 1...context) ?? context
    let limit = try arguments.integer("--limit-windows", in: 1...Int.max)
    let text = try Files.read(textPath)
    let model = try DirectModel(arguments, longestWindow: context)
    let tokenizer = try LoadedTokenizer.load(model.checkpoint)
    var tokens = try tokenizer.encode(text, addSpecialTokens: false)
    let fileTokens = tokens.count
    if let limit { tokens = Array(tokens.prefix(context + (limit - 1) * stride)) }
    if let id = tokens.first(where: { $0 < 0 || $0 >= model.graph.configuration.vocabularySize }) {
      throw Failure(.badData, "the tokenizer gives token \(id), which the model does not have")
    }
    let scorer = try WindowScorer(graph: model.graph, longestWindow: context)
    if let path = arguments.string("--against") {
      let windows = ComparisonWindows.cut(tokens, context: context)
      return try ModelsComparison.run(arguments, windows, of: scorer, against: path, context: context)
    }
    let windows = max(0, (tokens.count - context) / stride + 1)
    var progress = ProgressLine("evaluating window", total: windows)
    let started = ContinuousClock.now
    let result = try Perplexity.measure(tokens, with: scorer, context: context, stride: stride) { done, _ in
      progress.update(done)
      return true
    }
    guard let result else {
      let name = textPath == "-" ? "standard input" : textPath
      throw Failure(
        .badData, "\(name) has \(fileTokens) tokens, fewer than one window of \(context); lower --context"
      )
    }
    let seconds = started.duration(to: .now) / .seconds(1)
    let computed = Double(result.windows * context)
    if arguments.has("--json") {
      var writer = JSONWriter()
      writer.beginObject()
      writer.member("perplexity", result.perplexity)
      writer.member("nll", result.meanNegativeLogLikelihood)
      writer.key("nll_standard_error")
      if let error = result.standardError { writer.double(error) } else { writer.null() }
      writer.member("tokens", result.scoredTokens)
      writer.member("windows", result.windows)
      writer.member("context", context)
      writer.member("stride", stride)
      writer.member("text_tokens", fileTokens)
      writer.member("kv_cache_dtype", model.graph.cacheGeometry(blockCount: 1).dataType.cacheName)
      writer.member("tokens_per_second", computed / seconds)
      writer.endObject()
      Console.write(String(decoding: writer.bytes, as: UTF8.self) + "\n")
    } else {
      let error = result.standardError.map { " ± " + fixed($0, 4) } ?? ""
      Console.write(
        """
        perplexity  \(fixed(result.perplexity, 4))
        nll         \(fixed(result.meanNegativeLogLikelihood, 6))\(error)
        tokens      \(result.scoredTokens) scored in \(result.windows) windows of \(context), stride \(stride)
        speed       \(fixed(computed / seconds, 1)) tokens/s

        """)
    }
  }
}
