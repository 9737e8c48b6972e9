/// What the scheduler needs to know of a request.
package struct SchedulerRequest: Sendable {
  package var prompt: [Int32]
  /// Tokens to sample for each choice, cut so that prompt and output fit `maxModelLength`. With 0 the
  /// prompt is computed and nothing is sampled.
  package var maxNewTokens: Int
  /// Sequences to run from this prompt.
  package var choices = 1
  /// Lower runs earlier; only the priority policy looks at it.
  package var priority = 0
  /// Requests share cached blocks only with requests of an equal salt; nil is a salt of its own.
  package var cacheSalt: String?
  /// The adapter its tokens are computed with, 0 for none. Requests share cached blocks only with those of the same
  /// one, so a number must never be given to two adapters.
  package var adapter: Int32 = 0
  /// Logits are wanted at every prompt position, not only at the last. Such a sequence takes nothing from the
  /// prefix cache as far as its logits are still missing. With several choices only one sequence does this.
  package var wantsPromptLogits = false
  /// The states of every prompt position are wanted, of the rows of `StepPlan.tokens` themselves: no logits go with them,
  /// and nothing is taken from the prefix cache either as far as states are missing.
  package var wantsPromptStates = false

  package init(prompt: [Int32], maxNewTokens: Int) {
    self.prompt = prompt
    self.maxNewTokens = maxNewTokens
  }
}

/// What the sampler found for one entry of a plan.
package struct SampledToken: Sendable, Equatable {
  package var token: Int32
  /// The sequence is over with this token (end of text or a stop token); the token still belongs to it.
  package var ends: Bool
  /// The model gave nothing to sample from (NaN): the sequence ends as `failed`, and as its keys and values are
  /// not to be trusted, no later request finds them in the prefix cache.
  package var isFailure: Bool
  /// Drafts of the entry, from the first on, that the sampler chose too. `token` comes behind them.
  package var accepted: Int

  package init(token: Int32, ends: Bool = false, isFailure: Bool = false, accepted: Int = 0) {
    self.token = token
    self.accepted = accepted
    self.ends = ends
    self.isFailure = isFailure
  }
}

/// Why a sequence is over.
package enum EndReason: Sendable, Equatable {
  /// The sampler said so.
  case stopped
  /// `maxNewTokens` or `maxModelLength` is reached.
  case length
  case cancelled
  /// Its step was abandoned.
  case failed
}

/// What became of one entry of a plan when it was committed.
package enum CommitOutcome: Sendable, Equatable {
  /// A piece of the prompt (or of a recomputation) is in the cache; there is no token.
  case computed
  /// The sampled token was appended and the sequence goes on.
  case sampled
  /// The sequence is over: `stopped` or `length` after its last token was appended (`length` without one when
  /// `maxNewTokens` is 0), or `failed`.
  case finished(EndReason)
  /// Cancelled while the step was under way; the token is not to be reported. Its memory is free now.
  case discarded
}
