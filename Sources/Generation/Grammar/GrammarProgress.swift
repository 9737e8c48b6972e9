internal import Grammars

/// How far one sequence is in its grammar, and the masks of the step under way.
///
/// Used by the engine's thread, but for the time between `startMasks` and `finishMasks`: then by the mask worker's.
final class GrammarProgress {
  private var matcher: GrammarMatcher
  /// Tokens that end the sequence: allowed where the grammar may end, and only there.
  private let endTokens: [Int32]
  /// By place of the step: the first `count` are of this step, the others keep their memory.
  private var masks: [[UInt32]] = []
  private var count = 0
  private var failure: GrammarFailure?

  init(_ grammar: TokenGrammar, endTokens: [Int32]) {
    matcher = grammar.matcher()
    self.endTokens = endTokens
  }

  /// The text is whole and can't go on.
  var isComplete: Bool { matcher.isComplete }

  /// Works out what may stand at each place of the drafts, and behind them, as far as the grammar allows the drafts.
  func prepare(_ drafts: ArraySlice<Int32>) {
    count = 0
    failure = nil
    do throws(GrammarFailure) {
      try addMask(&matcher)
      if drafts.isEmpty { return }
      var probe = matcher
      for draft in drafts {
        guard try probe.advance(draft), !probe.isComplete else { return }
        try addMask(&probe)
      }
    } catch {
      failure = error
    }
  }

  private func addMask(_ matcher: inout GrammarMatcher) throws(GrammarFailure) {
    if masks.count == count { masks.append(Array(repeating: 0, count: matcher.wordCount)) }
    try matcher.mask(into: &masks[count])
    for token in endTokens where Int(token) / 32 < matcher.wordCount {
      let bit: UInt32 = 1 << UInt32(token % 32)
      if matcher.isAccepting {
        masks[count][Int(token) / 32] |= bit
      } else {
        masks[count][Int(token) / 32] &= ~bit
      }
    }
    count += 1
  }

  /// - Parameter place: drafts in front of it in this step.
  func mask(of place: Int) throws(SamplingFailure) -> [UInt32] {
    if place < count { return masks[place] }
    if let failure { throw .grammar(failure) }
    // A draft that the grammar forbids was not sampled, so nobody asks for what stands behind it.
    throw .nothingAllowed
  }

  /// The token that was sampled, unless it ends the sequence.
  /// - Returns: whether nothing may follow it.
  func take(_ token: Int32) throws(SamplingFailure) -> Bool {
    let isTaken: Bool
    do throws(GrammarFailure) {
      isTaken = try matcher.advance(token)
    } catch {
      throw .grammar(error)
    }
    if !isTaken { throw .nothingAllowed }
    return matcher.isComplete
  }

  /// The drafts up to the first that can't come.
  func allowedPrefix(of drafts: ArraySlice<Int32>) -> ArraySlice<Int32> {
    var probe = matcher
    for (place, draft) in zip(drafts.indices, drafts) {
      guard (try? probe.advance(draft)) ?? false else { return drafts[..<place] }
    }
    return drafts
  }

  /// The usual tokens of the text that has to come, if only one can (jump-forward).
  ///
  /// They are proposed like any drafts and verified like them: the same text can be made of other tokens, and which
  /// ones it is remains the model's choice.
  func forcedTokens(limit: Int) -> [Int32] {
    guard limit > 0, let bytes = try? matcher.forcedBytes(limit: 4 * limit), !bytes.isEmpty else { return [] }
    return Array(matcher.grammar.usualTokens(of: bytes).prefix(limit))
  }
}
