/// How to speculate, by vLLM's names where the meaning is the same (`--speculative-config`).
package struct SpeculationSettings: Sendable, Equatable {
  package enum Method: Sendable, Equatable {
    /// Prompt lookup: what followed the last time the same few tokens came up in this sequence.
    case ngram(PromptLookupSettings)
    /// The same over this sequence and over what other requests were answered, by vote.
    case suffix(SuffixSettings)
    /// A smaller model with the same vocabulary.
    case draftModel(path: String)
  }

  package var method: Method
  /// Most drafts of a sequence in one step. (`num_speculative_tokens`)
  package var maxDrafts: Int
  /// Chooses the length by measured acceptance and step times, 0 included; otherwise it is always `maxDrafts`.
  package var adapts = true
  /// With more decoding sequences than this there are no drafts. (`disable_by_batch_size`)
  package var largestBatch: Int?

  package init(_ method: Method, maxDrafts: Int) {
    self.method = method
    self.maxDrafts = maxDrafts
  }

  /// Drafts beyond this cost more than any acceptance brings back.
  package static let maxDraftsRange = 1...64

  /// "ngram", "suffix" or "draft_model", as vLLM calls them.
  package var methodName: String {
    switch method {
    case .ngram: "ngram"
    case .suffix: "suffix"
    case .draftModel: "draft_model"
    }
  }
}

package struct PromptLookupSettings: Sendable, Equatable {
  /// Tokens that must match, at least and at most. (`prompt_lookup_min`, `prompt_lookup_max`)
  package var shortest = 2
  package var longest = 5

  package init() {}
}

package struct SuffixSettings: Sendable, Equatable {
  /// The longest match looked for. (`suffix_decoding_max_tree_depth`)
  package var depth = 24
  /// Drafts a matched token: a short match is not trusted far. (`suffix_decoding_max_spec_factor`)
  package var draftsPerMatch = 1.0
  /// Proposing stops where the votes for all drafts so far fall below this part.
  /// (`suffix_decoding_min_token_prob`)
  package var leastShare = 0.1
  /// Tokens of past answers that are kept; the oldest make room.
  package var capacity = 1 << 20

  package init() {}
}
