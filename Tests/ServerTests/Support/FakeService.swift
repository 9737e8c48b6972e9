import TestSupport

@testable import Generation
@testable import Server

/// A scripted engine: what a request's stream tells is decided when it is submitted, or later by the test.
final class FakeService: GenerationService {
  typealias Script = @Sendable (GenerationRequest) throws(SubmissionError) -> FakeStream

  let information: ServiceInformation
  private let script: Script
  private let state = Monitor<[Submission]>([])
  private let current = Monitor(EngineStatistics())

  struct Submission: Sendable {
    let request: GenerationRequest
    let stream: FakeStream
  }

  init(vocabularySize: Int, maxModelLength: Int = 512, _ script: @escaping Script = FakeService.generate) {
    information = ServiceInformation(
      vocabularySize: vocabularySize, maxModelLength: maxModelLength, blockSize: 16, blockCount: 1000,
      device: "fake")
    self.script = script
  }

  var submissions: [Submission] { state.withLock { $0 } }

  /// Waits until this many requests have been submitted.
  func submissions(count: Int) -> [Submission] {
    state.wait(timeoutMilliseconds: Patience.milliseconds, until: { $0.count >= count }, then: { $0 })
  }

  func submit(_ request: GenerationRequest) throws(SubmissionError) -> any GenerationStream {
    let stream = try script(request)
    state.update { $0.append(Submission(request: request, stream: stream)) }
    return stream
  }

  func statistics() -> EngineStatistics { current.withLock { $0 } }

  func setStatistics(_ change: (inout EngineStatistics) -> Void) { current.withLock { change(&$0) } }

  // MARK: A deterministic model

  /// Generates tokens that depend on prompt, seed and position only, and log-probabilities to match.
  @Sendable static func generate(_ request: GenerationRequest) -> FakeStream {
    FakeStream(events: events(for: request), seed: request.sampling.seed ?? 1)
  }

  static func events(for request: GenerationRequest, vocabularySize: Int = 4096) -> [TokenEvent] {
    var generator = SeededGenerator(seed: (request.sampling.seed ?? 1) &+ UInt64(request.prompt.count))
    var events: [TokenEvent] = []
    let promptLogprobs = request.promptLogprobs.map { count in
      request.prompt.enumerated().map { index, token in
        index == 0 ? nil : logprobs(token, count, &generator)
      }
    }
    events.append(.prompt(cachedTokens: request.prompt.count / 16 * 16, logprobs: promptLogprobs))
    if let pooling = request.embedding {
      let values = (0..<8).map { _ in Float.random(in: -1...1, using: &generator) }
      return events + [
        .embedding(pooling == .last ? values : values.map { $0 * 2 }), .finished(choice: 0, reason: .length),
      ]
    }
    var open = Array(0..<request.choices)
    for step in 0..<request.stop.maxTokens {
      for choice in open {
        let ends = request.stop.endOfTextTokens.first
        let mayEnd = step >= request.stop.minTokens && !request.stop.ignoreEndOfText
        if let ends, mayEnd, Int.random(in: 0..<40, using: &generator) == 0 {
          events.append(
            .token(
              choice: choice, token: ends, logprobs: request.logprobs.map { logprobs(ends, $0, &generator) }))
          events.append(.finished(choice: choice, reason: .endOfText))
          open.removeAll { $0 == choice }
          continue
        }
        let token = Int32.random(in: 5..<Int32(vocabularySize), using: &generator)
        events.append(
          .token(
            choice: choice, token: token, logprobs: request.logprobs.map { logprobs(token, $0, &generator) }))
      }
    }
    for choice in open { events.append(.finished(choice: choice, reason: .length)) }
    return events
  }

  private static func logprobs(_ token: Int32, _ count: Int, _ generator: inout SeededGenerator)
    -> TokenLogprobs
  {
    var values = (0..<max(1, count)).map { _ in Float.random(in: -9...0, using: &generator) }.sorted(by: >)
    let place = Int.random(in: 0...count, using: &generator)
    if place == count { values.append(Float.random(in: -20 ... -10, using: &generator)) }
    let entries = values.enumerated().map { rank, value in
      TokenLogprobs.Entry(
        token: rank == place ? token : token % 4000 + Int32(rank) + 1, logprob: value, rank: rank + 1)
    }
    return TokenLogprobs(
      chosen: entries[min(place, entries.count - 1)].withToken(token), top: Array(entries.prefix(count)))
  }
}

extension TokenLogprobs.Entry {
  fileprivate func withToken(_ token: Int32) -> TokenLogprobs.Entry {
    var entry = self
    entry.token = token
    return entry
  }
}

/// A stream whose events the test decides.
final class FakeStream: GenerationStream {
  struct State: Sendable {
    var events: [TokenEvent]
    var isComplete: Bool
    var isCancelled = false
    var finishedChoices: [Int] = []
    var generator: SeededGenerator
  }
  private let state: Monitor<State>
  /// Hands events out in groups of random size instead of all that are there.
  private let splits: Bool

  init(events: [TokenEvent] = [], isComplete: Bool = true, seed: UInt64 = 1, splits: Bool = true) {
    state = Monitor(State(events: events, isComplete: isComplete, generator: SeededGenerator(seed: seed)))
    self.splits = splits
  }

  func push(_ events: TokenEvent..., isComplete: Bool = false) {
    state.update {
      $0.events += events
      $0.isComplete = isComplete
    }
  }

  var isCancelled: Bool { state.withLock { $0.isCancelled } }
  var finishedChoices: [Int] { state.withLock { $0.finishedChoices } }

  func waitUntilCancelled() -> Bool {
    state.wait(
      timeoutMilliseconds: Patience.milliseconds, until: { $0.isCancelled }, then: { $0.isCancelled })
  }

  func next(timeoutMilliseconds: Int?) -> [TokenEvent]? {
    state.wait(
      timeoutMilliseconds: timeoutMilliseconds,
      until: { !$0.events.isEmpty || $0.isComplete || $0.isCancelled },
      then: { state in
        if state.events.isEmpty { return state.isComplete || state.isCancelled ? nil : [] }
        let count =
          splits
          ? Int.random(in: 1...min(state.events.count, 7), using: &state.generator) : state.events.count
        defer { state.events.removeFirst(count) }
        return Array(state.events.prefix(count))
      })
  }

  func finish(choice: Int) {
    state.update {
      guard !$0.finishedChoices.contains(choice) else { return }
      $0.finishedChoices.append(choice)
      // An engine may have gone on before it hears of this; whatever comes is followed by the end.
      $0.events.append(.finished(choice: choice, reason: .aborted))
    }
  }

  func cancel() {
    state.update {
      if $0.isCancelled { return }
      $0.isCancelled = true
      if !$0.isComplete {
        for choice in 0..<8 { $0.events.append(.finished(choice: choice, reason: .aborted)) }
      }
    }
  }
}
