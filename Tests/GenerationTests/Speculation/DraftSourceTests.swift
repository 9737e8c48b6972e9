import Scheduling
import TestSupport
import Testing

@testable import Generation

/// The sources that need no model, and the decision how far to trust them.
@Suite struct DraftSourceTests {
  private func lookUp(_ tokens: [Int32], _ count: Int, shortest: Int = 2, longest: Int = 4) -> [Int32] {
    var settings = PromptLookupSettings()
    settings.shortest = shortest
    settings.longest = longest
    guard let match = PromptLookup.match(in: tokens.span, settings) else { return [] }
    return PromptLookup.continuation(of: match, in: tokens.span, count: count)
  }

  @Test("Prompt lookup continues the longest match, of equal ones the last")
  func promptLookup() {
    #expect(lookUp([1, 2, 3, 4, 9, 2, 3, 5, 2, 3], 2) == [5, 2])
    #expect(lookUp([1, 2, 3, 4, 9, 2, 3, 5, 1, 2, 3], 2) == [4, 9])
    #expect(lookUp([1, 2, 3, 4], 3) == [])
    #expect(lookUp([1, 2, 1], 3) == [])
    #expect(lookUp([1, 2, 1], 3, shortest: 1) == [2, 1, 2])
    // A loop goes on as a loop.
    #expect(lookUp([7, 7, 7], 4) == [7, 7, 7, 7])
    #expect(lookUp([5, 1, 2, 1, 2], 5) == [1, 2, 1, 2, 1])
    #expect(lookUp([], 3) == [] && lookUp([1], 3) == [])
  }

  @Test("Prompt lookup finds what a search over all pairs finds")
  func promptLookupAgainstSearch() {
    var random = SeededGenerator(seed: 4)
    for _ in 0..<2000 {
      let tokens = (0..<Int.random(in: 0...30, using: &random)).map { _ in
        Int32.random(in: 0..<3, using: &random)
      }
      var settings = PromptLookupSettings()
      settings.shortest = Int.random(in: 1...3, using: &random)
      settings.longest = settings.shortest + Int.random(in: 0...3, using: &random)
      var expected: PromptLookup.Match?
      for length in stride(from: settings.longest, through: settings.shortest, by: -1) where expected == nil {
        for end in stride(from: tokens.count - 1, through: length, by: -1) where expected == nil {
          if tokens[end - length..<end] == tokens.suffix(length) {
            expected = .init(end: end, length: length)
          }
        }
      }
      #expect(PromptLookup.match(in: tokens.span, settings) == expected)
    }
  }

  @Test("A match's evidence is how far back both places agree")
  func evidence() {
    func evidence(_ tokens: [Int32]) -> Int? {
      var settings = PromptLookupSettings()
      settings.longest = 3
      return PromptLookup.match(in: tokens.span, settings).map {
        PromptLookup.evidence(for: $0, in: tokens.span)
      }
    }
    #expect(evidence([1, 2, 3, 9, 2, 3]) == 2)
    #expect(evidence([8, 1, 2, 3, 9, 1, 2, 3]) == 3)
    #expect(evidence([5, 6, 7, 1, 2, 3, 9, 5, 6, 7, 1, 2, 3]) == 6)
    #expect(evidence(Array(repeating: 4, count: 12)) == 11)
    #expect(evidence(Array(repeating: 4, count: 60)) == EvidenceEstimates.most)
    #expect(evidence([1, 2, 3]) == nil)
  }

  @Test("Acceptance is learned by evidence, and a class that lost gets another chance")
  func evidenceEstimates() throws {
    var estimates = EvidenceEstimates()
    #expect(estimates.probability(0) == nil)
    for _ in 0..<60 {
      estimates.record(accepted: 0, of: 3, evidence: 2)
      estimates.record(accepted: 4, of: 4, evidence: 20)
    }
    #expect(try #require(estimates.probability(2)) < 0.1)
    #expect(try #require(estimates.probability(16)) > 0.95)
    #expect(estimates.probability(5) == EvidenceEstimates().probability(5))
    for _ in 0..<150 { estimates.skip(evidence: 2) }
    #expect(try #require(estimates.probability(2)) > 0.5)
    #expect(try #require(estimates.probability(16)) > 0.95)
    // What was taken back counts again at once when it fails again.
    for _ in 0..<4 { estimates.record(accepted: 0, of: 1, evidence: 2) }
    #expect(try #require(estimates.probability(2)) < 0.5)
  }

  @Test("The suffix cache proposes what others were answered, by vote and by length of match")
  func suffixCache() {
    var settings = SuffixSettings()
    settings.leastShare = 0.5
    let cache = SuffixCache(settings)
    func answer(_ slot: Int, _ tokens: [Int32], isShared: Bool = true) {
      let id = SequenceID(rawValue: UInt64(slot))
      for token in tokens { cache.observe(id, token: token, isShared: isShared) }
      cache.forget(id)
    }
    answer(1, [10, 11, 12, 13, 14, 15])
    answer(2, [30, 11, 12, 13, 14, 16])
    answer(3, [40, 11, 12, 13, 17, 18])
    answer(4, [50, 11, 12, 13, 99, 99], isShared: false)
    let tokens: [Int32] = [1, 2, 11, 12, 13]
    // Two of three say 14; then 15 and 16 have a third each.
    #expect(cache.proposal(tokens.span, limit: 8, usesShared: true) == [14])
    #expect(cache.proposal(tokens.span, limit: 8, usesShared: false) == [])
    // A longer match is believed before a more frequent one.
    let longer: [Int32] = [1, 40, 11, 12, 13]
    #expect(cache.proposal(longer.span, limit: 8, usesShared: true) == [17, 18])
    // A match of three is worth three drafts, and answers do not run into each other.
    let own: [Int32] = [5, 6, 7, 8, 9, 1, 5, 6, 7]
    #expect(cache.proposal(own.span, limit: 8, usesShared: true) == [8, 9, 1])
    #expect(cache.proposal(own.span, limit: 2, usesShared: true) == [8, 9])
  }

  @Test("The suffix cache forgets the oldest answers, and never proposes a token nobody said")
  func suffixCacheWraps() {
    var settings = SuffixSettings()
    settings.capacity = 64
    settings.leastShare = 0
    let cache = SuffixCache(settings)
    var random = SeededGenerator(seed: 2)
    for slot in 0..<500 {
      let id = SequenceID(rawValue: UInt64(slot) << 24)
      let tokens = (0..<Int.random(in: 0...40, using: &random)).map { _ in
        Int32.random(in: 0..<3, using: &random)
      }
      for token in tokens { cache.observe(id, token: token, isShared: true) }
      for token in cache.proposal(tokens.span, limit: 12, usesShared: true) {
        #expect((0..<3).contains(token))
      }
      cache.forget(id)
    }
  }

  @Test("Acceptance follows the trials")
  func acceptance() {
    var estimate = AcceptanceEstimate(prior: 0.5, weight: 2)
    #expect(estimate.probability == 0.5)
    for _ in 0..<200 { estimate.record(accepted: 3, of: 3) }
    #expect(estimate.probability > 0.99)
    for _ in 0..<200 { estimate.record(accepted: 0, of: 3) }
    #expect(estimate.probability < 0.01)
    // One accepted, one refused: two trials, whatever else was proposed.
    for _ in 0..<500 { estimate.record(accepted: 1, of: 8) }
    #expect(abs(estimate.probability - 0.5) < 0.02)
    #expect(AcceptanceEstimate.expectedTokens(0.8, drafts: 0) == 1)
    #expect(abs(AcceptanceEstimate.expectedTokens(0.8, drafts: 3) - 2.952) < 1e-12)
    #expect(AcceptanceEstimate.expectedTokens(1, drafts: 5) == 6)
  }

  @Test("Step costs are remembered by class and drawn as a line in between")
  func costs() throws {
    var costs = StepCosts()
    #expect(costs.seconds(rows: 3) == nil && costs.isEmpty)
    costs.observe(rows: 1, seconds: 1)
    #expect(costs.seconds(rows: 40) == 1)
    costs.observe(rows: 5, seconds: 2)
    #expect(abs(try #require(costs.seconds(rows: 9)) - 3) < 1e-9)
    #expect(costs.seconds(rows: 5) == 2)
    for _ in 0..<100 { costs.observe(rows: 5, seconds: 4) }
    #expect(abs(try #require(costs.seconds(rows: 5)) - 4) < 1e-6)
    costs.observe(rows: 0, seconds: 1)
    costs.observe(rows: 2, seconds: .nan)
    for rows in 1...5000 {
      #expect(
        StepCosts.index(rows + 1) - StepCosts.index(rows) <= 1
          && StepCosts.index(rows + 1) >= StepCosts.index(rows))
    }
  }
}
