import Compute
import Scheduling
import TestSupport

@testable import Generation

/// A source whose proposals are spoilt now and then: what it wraps may guess right every time.
final class SpoilingSource: DraftSource {
  private let source: any DraftSource
  private let vocabularySize: Int32
  /// One draft in so many is spoilt.
  private let rate: Int
  private var random = SeededGenerator(seed: 99)

  init(_ source: any DraftSource, vocabularySize: Int, rate: Int) {
    self.source = source
    self.vocabularySize = Int32(vocabularySize)
    self.rate = rate
  }

  var costsSteps: Bool { source.costsSteps }
  func observe(_ id: SequenceID, token: Int32, isShared: Bool) {
    source.observe(id, token: token, isShared: isShared)
  }
  func forget(_ id: SequenceID) { source.forget(id) }
  func unread(_ id: SequenceID, _ scheduler: borrowing Scheduler) -> Int { source.unread(id, scheduler) }

  func propose(_ batch: inout DraftBatch, _ scheduler: borrowing Scheduler) throws(KernelError) {
    try source.propose(&batch, scheduler)
    for index in batch.subjects.indices {
      let spoilt = batch.drafts(of: index).map { draft in
        Int.random(in: 0..<rate, using: &random) == 0
          ? Int32.random(in: 0..<vocabularySize, using: &random) : draft
      }
      batch.propose(spoilt, for: index)
    }
  }
}

extension SpeculationOptions {
  /// Drafts by the history model itself, spoilt one time in `rate`.
  static func history(
    _ limits: EngineLimits, drafts: Int, rate: Int = 4, adapts: Bool = false, blocks: Int? = nil
  ) -> SpeculationOptions {
    var settings = SpeculationSettings(.draftModel(path: "history"), maxDrafts: drafts)
    settings.adapts = adapts
    var own = limits
    own.blockCount = blocks ?? limits.blockCount
    return SpeculationOptions(settings) { [own] _ in
      SpoilingSource(
        DraftModel(HistoryModel(own, HistoryModel.Hooks())), vocabularySize: own.vocabularySize, rate: rate)
    }
  }

  static func method(_ method: SpeculationSettings.Method, drafts: Int, adapts: Bool = false)
    -> SpeculationOptions
  {
    var settings = SpeculationSettings(method, maxDrafts: drafts)
    settings.adapts = adapts
    return SpeculationOptions(settings) { _ in
      switch method {
      case .ngram(let settings): PromptLookup(settings)
      case .suffix(let settings): SuffixCache(settings)
      case .draftModel: fatalError("needs a model")
      }
    }
  }
}

extension EngineLimits {
  static func history(
    vocabulary: Int = 61, length: Int = 512, blocks: Int = 400, batch: Int = 256, sequences: Int = 64
  ) -> EngineLimits {
    EngineLimits(
      vocabularySize: vocabulary, maxModelLength: length, blockCount: blocks, maxBatchTokens: batch,
      maxSequences: sequences, maxLogitRows: batch, device: "history")
  }
}
