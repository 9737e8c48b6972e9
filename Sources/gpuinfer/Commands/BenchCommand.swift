/// `gpuinfer bench KIND`: timings, each with what it is measured against.
enum BenchCommand: Command {
  static let kinds: [any Benchmark.Type] = [
    ModelBench.self, TokenizerBench.self, EngineBench.self, KernelBench.self, ServeBench.self,
    SpeculationBench.self, GrammarBench.self, PrefixBench.self, AdapterBench.self, SolverBench.self,
  ]

  static let specification = CommandSpecification(
    name: "bench",
    summary:
      "Measure speed: model, tokenizer, engine, kernels, serve, speculation, grammar, prefix, lora, pruning.",
    positionals: [
      .init(
        name: "KIND", isRequired: true,
        help: "One of: model, tokenizer, engine, kernels, serve, speculation, grammar, prefix, lora, pruning."
      ),
      .model,
    ],
    options: [
      .flag("--json", "Print one JSON document."),
      .value(
        "--repetitions", "N", default: "3", "Runs of each measurement; the best and the median are shown."),
      .value("--prompt-tokens", "N", default: "512", "model, prefix: tokens of the prompt."),
      .value("--decode-tokens", "N", default: "32", "model: single-token steps."),
      .value("--batch", "N", default: "1", "model, speculation, lora: sequences decoded together."),
      DeviceKernelBench.shapesOption,
      .value("--text", "FILE", "tokenizer: the text to encode; speculation: where prompts come from."),
      .value("--sequences", "N", default: "256", "engine: running sequences."),
      .value("--steps", "N", default: "2000", "engine: steps to time."),
      .value("--url", "URL", default: "http://127.0.0.1:8000", "serve: the server under load."),
      .value("--model-name", "NAME", "serve: the model to ask for."),
      .value("--api-key", "KEY", "serve: the key to send."),
      .value("--clients", "N", default: "32", "serve: requests at once."),
      .value("--requests", "N", default: "256", "serve: requests in all."),
      .value("--max-tokens", "N", default: "32", "serve: tokens a request."),
      .value("--prompt", "TEXT", "serve: the prompt."),
      CacheTypeFlag.option, WeightPages.option,
      .value("--adapter", "DIR", "lora: the PEFT adapter to measure; left out, one with random weights."),
      .value("--rank", "R", default: "16", "lora: the random adapter's rank."),
    ] + DeviceChoice.options + SpeculationBench.options,
    discussion: """
      Figures are measured here and now; nothing is stored. Compare with a peer in one run:
      Scripts/bench/peers runs llama.cpp, transformers and tiktoken on the same shapes.
      """)

  static func run(_ arguments: ParsedArguments) throws {
    let name = arguments.positional(0) ?? ""
    guard let kind = kinds.first(where: { $0.name == name }) else {
      let known = kinds.map { $0.name }
      throw UsageError.invalidValue(
        option: "KIND", value: name, expected: "one of: \(known.joined(separator: ", "))")
    }
    let report = try kind.run(arguments)
    Console.write(arguments.has("--json") ? report.json : report.text)
  }
}

/// One kind of measurement.
protocol Benchmark: SendableMetatype {
  static var name: String { get }
  static func run(_ arguments: ParsedArguments) throws -> BenchReport
}
