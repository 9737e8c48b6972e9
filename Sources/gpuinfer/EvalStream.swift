internal import Checkpoints
internal import Generation
internal import JSON
internal import Models
internal import Scheduling
internal import Tokenizers

/// `gpuinfer eval --stream`: a text as one stream instead of windows.
enum EvalStream {
  /// Tokens computed in one step.
  private static let stepTokens = 128

  /// - Parameter length: tokens of the stream; nil takes the whole text.
  static func run(_ arguments: ParsedArguments, textPath: String, length: Int?) throws {
    let path = try ModelPath.resolve(arguments.positional(0))
    let checkpoint = try Checkpoint.open(path)
    let tokenizer = try LoadedTokenizer.load(checkpoint)
    let all = try tokenizer.encode(try Files.read(textPath), addSpecialTokens: false)
    let tokens = Array(all.prefix(length ?? all.count))
    guard tokens.count >= max(2, length ?? 0) else {
      throw Failure(.badData, "\(textPath) has \(all.count) tokens; lower --context")
    }
    let device = try DeviceChoice(arguments)
    var limits = ModelLimits(
      maxBatchTokens: stepTokens, maxSequences: 1, maxModelLength: tokens.count, maxLogitRows: stepTokens)
    limits.policy = try EngineFlags.policy(arguments)
    let graph = try ModelGraph(
      checkpoint: checkpoint, backend: device.makeBackend(for: checkpoint), limits: limits)
    if let id = tokens.first(where: { $0 < 0 || $0 >= graph.configuration.vocabularySize }) {
      throw Failure(.badData, "the tokenizer gives token \(id), which the model does not have")
    }
    var progress = ProgressLine("reading token", total: tokens.count - 1)
    let result = try StreamPerplexity.measure(tokens, with: graph) { done in
      progress.update(done)
      return true
    }
    guard let result else { throw Failure(.badData, "\(textPath) has no token to score") }
    let policy = arguments.string("--kv-policy") ?? "full"
    if arguments.has("--json") {
      let json: JSONValue = [
        "perplexity": .double(result.perplexity), "nll": .double(result.meanNegativeLogLikelihood),
        "tokens": .integer(Int64(result.scoredTokens)), "kv_policy": .string(policy),
        "nll_by_tenth": .array(result.partMeans.map { .double($0) }),
        "blocks": .integer(Int64(result.blocksAtOnce)),
      ]
      return Console.write(json.serialized() + "\n")
    }
    Console.write(
      """
      perplexity  \(fixed(result.perplexity, 4))
      nll         \(fixed(result.meanNegativeLogLikelihood, 6))
      by tenth    \(result.partMeans.map { fixed($0, 3) }.joined(separator: " "))
      tokens      \(result.scoredTokens) scored in one stream, policy \(policy)
      memory      \(result.blocksAtOnce) blocks of \(ModelLimits.blockSize) tokens at most

      """)
  }
}
