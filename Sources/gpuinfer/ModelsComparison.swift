internal import Generation
internal import Glibc
internal import JSON
internal import Models

/// `eval --against`: how far a model's predictions are from another's.
enum ModelsComparison {
  static func run(
    _ arguments: ParsedArguments, _ windows: [[Int32]], of candidate: WindowScorer, against path: String,
    context: Int
  ) throws {
    let reference = try DirectModel(path: path, arguments, longestWindow: context)
    let vocabulary = reference.graph.configuration.vocabularySize
    guard vocabulary == candidate.vocabularySize else {
      throw Failure(
        .badData,
        "\(path) has a vocabulary of \(vocabulary), the other model one of \(candidate.vocabularySize): "
          + "their predictions cannot be compared")
    }
    var progress = ProgressLine("comparing window", total: windows.count)
    let scorer = try WindowScorer(graph: reference.graph, longestWindow: context)
    let result = try ModelComparison.measure(windows, reference: scorer, candidate: candidate) { done in
      progress.update(done)
      return true
    }
    guard let result else {
      throw Failure(.badData, "the text has fewer tokens than one window of \(context); lower --context")
    }
    if arguments.has("--json") { return Console.write(result.json.serialized(.pretty) + "\n") }
    func text(_ mean: ModelComparison.Mean, _ decimals: Int = 5) -> String {
      fixed(mean.value, decimals) + (mean.margin.map { " ± " + fixed($0, decimals) } ?? "")
    }
    let range =
      result.difference.margin.map {
        ", 95 %: \(fixed(exp(result.difference.value - $0), 4)) to \(fixed(exp(result.difference.value + $0), 4))"
      } ?? ""
    Console.write(
      """
      perplexity      \(fixed(exp(result.candidate.value), 4)) against \(fixed(exp(result.reference.value), 4))
      ratio           \(fixed(exp(result.difference.value), 4))\(range)
      nll difference  \(text(result.difference))
      kl divergence   \(text(result.divergence)), 99 % below \(fixed(result.divergence99, 5))
      same top token  \(text(result.agreement))
      tokens          \(result.tokens) scored in \(result.windows) windows of \(context)\(result.windows > 1 ? "; ±: 95 % by windows" : "")

      """)
  }
}
