package import Compute
package import Scheduling

/// Prompt lookup: proposes what followed the last time the sequence's last few tokens came up in itself.
///
/// After Saxena, "Prompt Lookup Decoding" (2023), which vLLM calls `ngram`. Summaries, edits and code repeat their
/// prompt, and small models repeat themselves; elsewhere nothing matches and nothing is lost.
package final class PromptLookup: DraftSource {
  private let settings: PromptLookupSettings

  package init(_ settings: PromptLookupSettings) { self.settings = settings }

  package var costsSteps: Bool { false }
  package func observe(_ id: SequenceID, token: Int32, isShared: Bool) {}
  package func forget(_ id: SequenceID) {}

  package func propose(_ batch: inout DraftBatch, _ scheduler: borrowing Scheduler) throws(KernelError) {
    for index in batch.subjects.indices {
      let subject = batch.subjects[index]
      let found = scheduler.withTokens(of: subject.id) { tokens -> (drafts: [Int32], evidence: Int)? in
        guard let match = Self.match(in: tokens, settings) else { return nil }
        return (
          Self.continuation(of: match, in: tokens, count: subject.limit),
          Self.evidence(for: match, in: tokens)
        )
      }
      if let found = found ?? nil { batch.propose(found.drafts, for: index, evidence: found.evidence) }
    }
  }

  struct Match: Equatable {
    /// Position behind the earlier occurrence.
    var end: Int
    var length: Int
  }

  /// The longest earlier occurrence of the last tokens, up to `longest` of them; of equally long ones the last.
  ///
  /// - Complexity: one comparison a token, and `longest` where the last one matches.
  static func match(in tokens: Span<Int32>, _ settings: PromptLookupSettings) -> Match? {
    let count = tokens.count
    guard count > settings.shortest else { return nil }
    let last = tokens[count - 1]
    var best: Match?
    var end = count - 1
    while end > 0 {
      if tokens[end - 1] == last {
        var length = 1
        while length < settings.longest, length < end, tokens[end - 1 - length] == tokens[count - 1 - length]
        {
          length += 1
        }
        if length >= settings.shortest, length > best?.length ?? 0 {
          best = Match(end: end, length: length)
          if length == settings.longest { break }
        }
      }
      end -= 1
    }
    return best
  }

  /// How far back a match goes on beyond what it was looked for by: two places that agree for long are likely to agree
  /// longer.
  static func evidence(for match: Match, in tokens: Span<Int32>) -> Int {
    var length = match.length
    while length < EvidenceEstimates.most, length < match.end,
      tokens[match.end - 1 - length] == tokens[tokens.count - 1 - length]
    {
      length += 1
    }
    return length
  }

  /// What followed a match. Where it runs into the end of the sequence, the copy goes on with itself: a loop is
  /// continued as a loop.
  static func continuation(of match: Match, in tokens: Span<Int32>, count: Int) -> [Int32] {
    var found: [Int32] = []
    found.reserveCapacity(count)
    for offset in 0..<count {
      let position = match.end + offset
      found.append(position < tokens.count ? tokens[position] : found[position - tokens.count])
    }
    return found
  }
}
