internal import Generation
internal import Scheduling

/// The flags of every command that runs an engine, under vLLM's names where the meaning is the same.
enum EngineFlags {
  static let options: [OptionSpecification] =
    DeviceChoice.options + [
      .value("--max-model-len", "N", default: "the model's", "Prompt and output of one sequence, in tokens."),
      .value("--max-num-seqs", "N", default: "64 on the CPU, 256 on a GPU", "Sequences that run at once."),
      .value(
        "--max-num-batched-tokens", "N", default: "128 on the CPU, 2048 on a GPU", "Tokens in one step."),
      .value("--kv-cache-memory-bytes", "SIZE", "Memory of the key/value pool, such as 2GiB."),
      .value(
        "--gpu-memory-utilization", "F", default: "0.92",
        "Part of the free memory to use when no pool size is given."),
      CacheTypeFlag.option,
      QuantizationFlag.option,
      WeightPages.option,
      .value(
        "--kv-policy", "POLICY", default: "full",
        "full, or sinks:S,window:W: see the first S and the last W tokens only, in bounded memory."),
      .value("--block-size", "N", default: "16", "Tokens in a block; only 16 is supported."),
      .flag("--enable-prefix-caching", "Share blocks of equal prompts (this is the default)."),
      .flag("--no-enable-prefix-caching", "Never share blocks between requests."),
      .flag(
        "--async-scheduling",
        "Launch a step before the tokens of the one before are on the host, where the device samples (the default)."
      ),
      .flag("--no-async-scheduling", "Wait for each step's tokens before the next one is planned."),
      .value("--scheduling-policy", "P", default: "fcfs", "fcfs or priority."),
      .value(
        "--long-prefill-token-threshold", "N", default: "0",
        "Longest piece of one prompt in a step; 0: no limit."),
      .value(
        "--max-queued-requests", "N", default: "1024", "Requests that may wait; more are refused with 429."),
      .value("--seed", "N", default: "0", "Seed of requests that have none."),
      .value(
        "--generation-config", "WHICH", default: "auto",
        "auto: the checkpoint's sampling defaults; vllm: none."
      ),
      .value("--chat-template", "FILE", default: "the model's", "A Jinja chat template."),
      .flag("--enable-lora", "Reserve memory for LoRA adapters (implied by --lora-modules)."),
      .repeated(
        "--lora-modules", "NAME=PATH",
        "Serve a PEFT adapter under this name; repeat for more, or separate by commas."),
      .value("--max-cpu-loras", "N", default: "64", "Most LoRA adapters in memory at one time."),
      .value("--max-lora-rank", "N", default: "256", "The largest rank of an adapter."),
      .value(
        "--speculative-config", "JSON",
        "Speculative decoding: {\"method\": \"ngram\"|\"suffix\"|\"draft_model\", \"num_speculative_tokens\": N, …}."
      ),
      .value("--speculative-model", "MODEL", "A draft model of the same vocabulary, or ngram or suffix."),
      .value("--num-speculative-tokens", "N", "Most tokens drafted for a sequence in one step."),
    ]

  private enum GenerationSource: String, CaseIterable { case auto, vllm }
  private enum Policy: String, CaseIterable { case fcfs, priority }

  static func loading(_ arguments: ParsedArguments) throws -> LoadingOptions {
    var options = LoadingOptions()
    options.maxModelLength = try arguments.integer("--max-model-len", in: 1...(1 << 30))
    options.maxSequences = try arguments.integer("--max-num-seqs", in: 1...(1 << 20))
    options.maxBatchTokens = try arguments.integer("--max-num-batched-tokens", in: 1...(1 << 24))
    options.kvCacheBytes = try arguments.byteCount("--kv-cache-memory-bytes")
    options.memoryUtilization =
      try arguments.number("--gpu-memory-utilization", in: 0.01...1) ?? options.memoryUtilization
    options.usesGenerationConfiguration =
      try arguments.choice("--generation-config", as: GenerationSource.self) != .vllm
    options.cacheType = try CacheTypeFlag.type(arguments)
    options.quantization = try QuantizationFlag.quantization(arguments)
    options.policy = try policy(arguments)
    let rank = try arguments.integer("--max-lora-rank", in: 1...4096)
    if try arguments.has("--enable-lora") || !adapters(arguments).isEmpty {
      options.maxAdapterRank = rank ?? 256
    }
    _ = try arguments.integer("--block-size", in: 16...16)
    if let path = arguments.string("--chat-template") {
      options.chatTemplate = String(decoding: try Files.read(path, limit: 4 << 20), as: UTF8.self)
    }
    return options
  }

  /// Names and directories of `--lora-modules`.
  static func adapters(_ arguments: ParsedArguments) throws -> [(name: String, path: String)] {
    try arguments.strings("--lora-modules").flatMap {
      try $0.split(separator: ",").map { module in
        let parts = module.split(separator: "=", maxSplits: 1)
        guard parts.count == 2 else {
          throw UsageError.invalidValue(
            option: "--lora-modules", value: String(module), expected: "NAME=PATH")
        }
        return (String(parts[0]), String(parts[1]))
      }
    }
  }

  /// Most adapters at one time.
  static func adapterLimit(_ arguments: ParsedArguments) throws -> Int {
    try arguments.integer("--max-cpu-loras", in: 1...1_000_000) ?? 64
  }

  /// `sinks:4,window:2048`; nil for `full`.
  static func policy(_ arguments: ParsedArguments) throws -> KVRetention? {
    guard let text = arguments.string("--kv-policy"), text != "full" else { return nil }
    var values: [Substring: Int] = [:]
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let pair = part.split(separator: ":", omittingEmptySubsequences: false)
      guard pair.count == 2, let value = Int(pair[1]), values.updateValue(value, forKey: pair[0]) == nil
      else {
        values = [:]
        break
      }
    }
    guard values.count == 2, let sinks = values["sinks"], let window = values["window"],
      (0...4096).contains(sinks), (1...(1 << 24)).contains(window)
    else {
      throw UsageError.invalidValue(
        option: "--kv-policy", value: text,
        expected: "full or sinks:S,window:W with S from 0 to 4096 and W from 1 to \(1 << 24)")
    }
    return KVRetention(sinks: sinks, window: window)
  }

  /// How to speculate; nil does not.
  static func speculation(_ arguments: ParsedArguments) throws -> SpeculationSettings? {
    let (configuration, model) = (
      arguments.string("--speculative-config"), arguments.string("--speculative-model")
    )
    let count = try arguments.integer("--num-speculative-tokens", in: SpeculationSettings.maxDraftsRange)
    if let configuration {
      if model != nil { throw UsageError.conflict("--speculative-config", "--speculative-model") }
      if count != nil { throw UsageError.conflict("--speculative-config", "--num-speculative-tokens") }
      return try SpeculationSettings(json: configuration)
    }
    switch model {
    case nil:
      if count != nil {
        throw UsageError.missingOption("--speculative-model", command: "--num-speculative-tokens")
      }
      return nil
    case "ngram", "[ngram]": return SpeculationSettings(.ngram(PromptLookupSettings()), maxDrafts: count ?? 5)
    case "suffix": return SpeculationSettings(.suffix(SuffixSettings()), maxDrafts: count ?? 16)
    case let path?: return SpeculationSettings(.draftModel(path: path), maxDrafts: count ?? 5)
    }
  }

  static func engine(_ arguments: ParsedArguments) throws -> EngineOptions {
    var options = EngineOptions()
    let caches = arguments.has("--enable-prefix-caching")
    if caches, arguments.has("--no-enable-prefix-caching") {
      throw UsageError.conflict("--enable-prefix-caching", "--no-enable-prefix-caching")
    }
    options.enablePrefixCaching = !arguments.has("--no-enable-prefix-caching")
    if arguments.has("--async-scheduling"), arguments.has("--no-async-scheduling") {
      throw UsageError.conflict("--async-scheduling", "--no-async-scheduling")
    }
    options.overlapsSteps = !arguments.has("--no-async-scheduling")
    options.policy =
      try arguments.choice("--scheduling-policy", as: Policy.self) == .priority
      ? .priority : .firstComeFirstServed
    options.longPrefillTokenThreshold =
      try arguments.integer("--long-prefill-token-threshold", in: 0...(1 << 24)) ?? 0
    options.maxQueuedRequests =
      try arguments.integer("--max-queued-requests", in: 1...10_000_000) ?? options.maxQueuedRequests
    options.seed = UInt64(try arguments.integer("--seed", in: 0...Int.max) ?? 0)
    return options
  }
}
