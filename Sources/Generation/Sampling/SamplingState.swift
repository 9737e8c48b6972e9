/// What the sampler must know of one choice: its settings, its key, and the tokens it has so far.
///
/// Nothing is kept that the settings do not need: without penalties and bad words a choice costs no memory a token.
/// A class, so that the step loop passes it on without copying its settings; it belongs to one thread.
package final class SamplingState {
  package let parameters: SamplingParameters
  /// With `choice`, names the random numbers of this sequence.
  package let seed: UInt64
  package let choice: UInt32
  /// Tokens that end the sequence, masked while fewer than `minTokens` have been generated.
  package let endTokens: [Int32]
  package let minTokens: Int
  package private(set) var outputCount = 0
  let isGreedy: Bool
  /// Penalties are on.
  let countsTokens: Bool
  /// Tokens of the longest bad word before its last.
  private let longestBadPrefix: Int
  /// The settings alone say that logits have to be changed.
  let alwaysChangesLogits: Bool

  /// A bit for each of `parameters.allowedTokens`, as devices take them; nil allows all.
  private(set) lazy var allowedMask: [UInt32]? = parameters.allowedTokens.map { tokens in
    var words = [UInt32](repeating: 0, count: (vocabularySize + 31) / 32)
    for token in tokens { words[Int(token) / 32] |= 1 << UInt32(token % 32) }
    return words
  }
  private let vocabularySize: Int

  /// Occurrences by token; kept only with penalties.
  private(set) var occurrences: [Int32: Occurrences] = [:]
  /// The last output tokens, at least as many as the longest bad word has before its last.
  private(set) var tail: [Int32] = []

  struct Occurrences: Sendable {
    var inPrompt: Bool
    var inOutput: Int32
  }

  /// - Parameter vocabularySize: ids outside it are dropped from masks and biases.
  package init(
    parameters: SamplingParameters, seed: UInt64, choice: Int, prompt: some Collection<Int32>,
    endTokens: [Int32] = [], minTokens: Int = 0, vocabularySize: Int
  ) {
    let isToken = { (token: Int32) in token >= 0 && Int(token) < vocabularySize }
    self.vocabularySize = vocabularySize
    var parameters = parameters
    parameters.allowedTokens = parameters.allowedTokens?.filter(isToken)
    parameters.badWords = parameters.badWords.filter { !$0.isEmpty && $0.allSatisfy(isToken) }
    parameters.logitBias = parameters.logitBias.filter { isToken($0.key) }
    self.parameters = parameters
    self.seed = seed
    self.choice = UInt32(truncatingIfNeeded: choice)
    self.endTokens = endTokens.filter(isToken)
    self.minTokens = minTokens
    isGreedy = parameters.temperature < SamplingParameters.greedyTemperature
    countsTokens =
      parameters.repetitionPenalty != 1 || parameters.presencePenalty != 0 || parameters.frequencyPenalty != 0
    longestBadPrefix = (parameters.badWords.lazy.map(\.count).max() ?? 1) - 1
    alwaysChangesLogits =
      countsTokens || !parameters.logitBias.isEmpty || parameters.allowedTokens != nil
      || !parameters.badWords.isEmpty
    if countsTokens {
      for token in prompt where isToken(token) {
        occurrences[token, default: Occurrences(inPrompt: true, inOutput: 0)].inPrompt = true
      }
    }
    tail.reserveCapacity(2 * longestBadPrefix)
  }

  /// Records a generated token; call it once for each, in order.
  package func append(_ token: Int32) {
    outputCount += 1
    if countsTokens {
      occurrences[token, default: Occurrences(inPrompt: false, inOutput: 0)].inOutput += 1
    }
    let kept = longestBadPrefix
    if kept > 0 {
      if tail.count == 2 * kept { tail.removeFirst(kept) }
      tail.append(token)
    }
  }

  /// What a token is drawn from depends on the order of those before it, not only on how often each came.
  var dependsOnOrder: Bool { longestBadPrefix > 0 }

  /// The logits have to be copied and changed before a token is chosen.
  var changesLogits: Bool { alwaysChangesLogits || masksEnd }

  var masksEnd: Bool { masksEnd(pending: 0) }

  /// The same for a token that `pending` tokens come in front of which are not recorded yet.
  func masksEnd(pending: Int) -> Bool {
    minTokens > 0 && outputCount + pending < minTokens && !endTokens.isEmpty
  }
}

extension SamplingParameters {
  /// Temperatures below this choose the most likely token.
  package static let greedyTemperature: Float = 1e-5
}
