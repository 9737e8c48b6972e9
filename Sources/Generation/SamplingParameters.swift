package import Grammars

/// How tokens are chosen. Values are validated where a request is decoded; here they are taken as they are.
package struct SamplingParameters: Sendable, Equatable {
  /// 0 is greedy: argmax, ties to the lowest id.
  package var temperature: Float = 1
  /// 0 turns it off.
  package var topK: Int = 0
  package var topP: Float = 1
  package var minP: Float = 0
  /// Over prompt and output tokens: a positive logit is divided by it, a negative one multiplied.
  package var repetitionPenalty: Float = 1
  /// Over output tokens only.
  package var presencePenalty: Float = 0
  package var frequencyPenalty: Float = 0
  package var logitBias: [Int32: Float] = [:]
  /// Only these tokens may be sampled, when given.
  package var allowedTokens: [Int32]?
  /// Token sequences that must never be completed in the output.
  package var badWords: [[Int32]] = []
  /// Equal seeds give equal tokens whatever else runs; without one the engine draws a seed for the request.
  package var seed: UInt64?

  package init() {}
}

/// When a sequence ends. Stop strings are matched on text, outside the engine (`TextAssembler`).
package struct StopConditions: Sendable, Equatable {
  package var maxTokens: Int
  package var minTokens: Int = 0
  /// End-of-text tokens of the model; masked until `minTokens`, ignored with `ignoreEndOfText`.
  package var endOfTextTokens: [Int32] = []
  package var stopTokens: [Int32] = []
  package var ignoreEndOfText = false

  package init(maxTokens: Int) { self.maxTokens = maxTokens }
}

/// How the states of a prompt become one vector.
package enum EmbeddingPooling: String, Sendable, CaseIterable {
  /// The last token's, which has seen all others: usual for decoders.
  case last
  /// The mean over all tokens.
  case mean
}

package struct GenerationRequest: Sendable {
  package var id: String
  package var prompt: [Int32]
  package var sampling = SamplingParameters()
  package var stop: StopConditions
  /// Choices to generate; they share the prompt's blocks.
  package var choices = 1
  /// Alternatives to report for every generated token, the sampled one besides; nil reports nothing.
  package var logprobs: Int?
  /// The same for the prompt's tokens (the first has none).
  package var promptLogprobs: Int?
  /// Asks for the prompt's embedding instead of an output: `stop.maxTokens` is 0 then.
  package var embedding: EmbeddingPooling?
  /// Lower runs earlier (with the priority policy).
  package var priority = 0
  /// Keeps the prefix cache of one tenant apart from another's.
  package var cacheSalt: String?
  /// The number that `Engine.loadAdapter` gave; 0 asks the base model.
  package var adapter: Int32 = 0
  /// What the output of each choice has to be. A choice ends where the grammar has nothing more to say.
  package var grammar: TokenGrammar?

  package init(id: String, prompt: [Int32], stop: StopConditions) {
    self.id = id
    self.prompt = prompt
    self.stop = stop
  }
}
