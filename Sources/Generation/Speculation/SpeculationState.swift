/// The engine's part of speculation: who guesses, how far, and how it went.
struct SpeculationState {
  let source: any DraftSource
  let adapts: Bool
  var policy: DraftLengthPolicy
  var batch = DraftBatch()
  var evidence = EvidenceEstimates()
  var candidates: [DraftLengthPolicy.Candidate] = []
  /// Sequences that the last step gave a token and that go on.
  var decoding: [LiveSequence] = []
  var decision = DraftLengthPolicy.Decision(length: 0, gain: 1)
  /// Seconds that proposing for the next step took.
  var draftingSeconds = 0.0

  init(_ options: SpeculationOptions, _ source: any DraftSource) {
    self.source = source
    adapts = options.settings.adapts
    policy = DraftLengthPolicy(
      maxDrafts: options.settings.maxDrafts, largestBatch: options.settings.largestBatch)
  }
}

/// Speculation as an engine is started with.
package struct SpeculationOptions: Sendable {
  package var settings: SpeculationSettings
  /// Called on the engine's thread, once, with the engine's model.
  package var makeSource: @Sendable (any EngineModel) throws -> any DraftSource

  package init(
    _ settings: SpeculationSettings,
    makeSource: @escaping @Sendable (any EngineModel) throws -> any DraftSource
  ) {
    self.settings = settings
    self.makeSource = makeSource
  }
}

/// Counters of speculation since start.
package struct SpeculationStatistics: Sendable, Equatable {
  /// Verifications: one a sequence and step with drafts.
  package var verifications: UInt64 = 0
  package var draftTokens: UInt64 = 0
  package var acceptedTokens: UInt64 = 0
  /// Accepted drafts by their place, the first at 0.
  package var acceptedByPosition: [UInt64] = []
  /// Drafts a sequence of the last decoding step, as decided.
  package var draftLength = 0
  /// The last steps' tokens a second over what they would have been without drafts, as far as the engine knows what
  /// a step without costs; smoothed.
  package var speedUp = 1.0
  /// Of all decoding steps, with their drafting.
  package var seconds = 0.0
  /// Sequences in those steps, each counted in each.
  package var sequenceSteps: UInt64 = 0
  /// Verifications by number of drafts; those without drafts are not counted.
  package var verificationsByLength: [UInt64]
  /// Drafts that were looked at: those accepted, and the first refused one of each verification.
  package var triedTokens: UInt64 = 0
  /// Decoding steps by the drafts a sequence had on average, rounded up, and their seconds; 0 for steps without.
  package var stepsByLength: [UInt64]
  package var secondsByLength: [Double]

  /// - Parameter maxDrafts: the longest draft.
  init(maxDrafts: Int) {
    acceptedByPosition = Array(repeating: 0, count: maxDrafts)
    verificationsByLength = Array(repeating: 0, count: maxDrafts + 1)
    stepsByLength = Array(repeating: 0, count: maxDrafts + 1)
    secondsByLength = Array(repeating: 0, count: maxDrafts + 1)
  }

  mutating func take(draftLength: Int, speedUp measured: Double, batch: Int, drafts: Int, seconds: Double) {
    self.draftLength = draftLength
    self.seconds += seconds
    sequenceSteps += UInt64(batch)
    let length = min((drafts + batch - 1) / batch, stepsByLength.count - 1)
    stepsByLength[length] += 1
    secondsByLength[length] += seconds
    speedUp += 0.05 * (measured - speedUp)
  }

  mutating func record(accepted: Int, of drafts: Int) {
    verifications += 1
    draftTokens += UInt64(drafts)
    acceptedTokens += UInt64(accepted)
    triedTokens += UInt64(min(accepted + 1, drafts))
    if drafts < verificationsByLength.count { verificationsByLength[drafts] += 1 }
    for position in 0..<min(accepted, acceptedByPosition.count) { acceptedByPosition[position] += 1 }
  }
}
