/// Why the scheduler does not take a configuration or a request.
package enum SchedulerError: Error, Equatable, Sendable, CustomStringConvertible {
  case invalidConfiguration(field: String, value: Int, requirement: String)
  case invalidRequest(field: String, value: Int, requirement: String)
  case emptyPrompt
  /// The prompt leaves no room for an output token (or, when none is asked for, is longer than the model
  /// reads).
  case promptTooLong(tokens: Int, maximum: Int)
  /// One choice alone, at its full length, is larger than the whole pool.
  case exceedsMemory(neededBlocks: Int, totalBlocks: Int)

  package var description: String {
    switch self {
    case .invalidConfiguration(let field, let value, let requirement):
      "scheduler configuration: \(field) is \(value); it must be \(requirement)"
    case .invalidRequest(let field, let value, let requirement):
      "request: \(field) is \(value); it must be \(requirement)"
    case .emptyPrompt:
      "request: the prompt has no tokens; it needs at least one"
    case .promptTooLong(let tokens, let maximum):
      "request: the prompt has \(tokens) tokens; at most \(maximum) leave room for the output"
    case .exceedsMemory(let neededBlocks, let totalBlocks):
      """
      request: prompt and output need \(neededBlocks) KV blocks of \(KVBlockPool.blockSize) tokens, the \
      pool has \(totalBlocks); shorten the prompt, ask for fewer output tokens, or give the pool more memory
      """
    }
  }
}
