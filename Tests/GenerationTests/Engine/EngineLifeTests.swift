import Compute
import Scheduling
import Testing

@testable import Generation

@Suite struct EngineLifeTests {
  private struct NoModel: Error, Equatable {}

  @Test("A model that cannot be built is the start's error")
  func startFails() {
    #expect(throws: NoModel()) { try Engine.start(EngineOptions()) { throw NoModel() } }
    #expect(throws: EngineError.self) { try Engine.history(batch: 1, sequences: 64) }
  }

  @Test("Ten thousand queued requests are cancelled at once, and the next one runs")
  func massCancel() throws {
    let hooks = HistoryModel.Hooks(paused: true)
    let engine = try Engine.history(hooks) { $0.validateEachStep = false }
    let request = GenerationRequest([1, 2, 3], max: 400)
    let streams = try (0..<10_000).map { _ in try engine.submit(request) }
    hooks.allow(1)
    hooks.waitUntilBlocked()
    for stream in streams { stream.cancel() }
    hooks.allow(2)
    for stream in streams {
      let answer = Answer(stream)
      #expect(answer.reasons == [0: .aborted])
      #expect(answer.tokens[0]?.count ?? 0 <= 3)
    }
    hooks.resume()
    let answer = try engine.answer(GenerationRequest([1, 2, 3], max: 5))
    #expect(answer.tokens[0]?.count == 5)
    let statistics = engine.statistics()
    #expect(statistics.kvCacheUsage == 0 && statistics.waitingRequests == 0)
    #expect(statistics.finishedRequests["abort"] == 10_000)
    engine.stop()
  }

  @Test("A cancelled request's memory is free before the next step")
  func cancelFrees() throws {
    let hooks = HistoryModel.Hooks(paused: true)
    // Room for one request of this size only.
    let engine = try Engine.history(hooks, blocks: 4, batch: 64, sequences: 4)
    let first = try engine.submit(GenerationRequest([Int32](repeating: 1, count: 40), max: 24))
    hooks.allow(1)
    #expect(first.next(timeoutMilliseconds: nil)?.isEmpty == false)
    let second = try engine.submit(GenerationRequest([Int32](repeating: 2, count: 40), max: 2))
    hooks.waitUntilBlocked()
    first.cancel()
    first.cancel()
    hooks.resume()
    #expect(Answer(second).tokens[0]?.count == 2)
    #expect(Answer(first).reasons == [0: .aborted])
    #expect(first.next(timeoutMilliseconds: 0) == nil)
    engine.stop()
  }

  @Test("Letting go of a stream cancels its request")
  func droppedStream() throws {
    let hooks = HistoryModel.Hooks(paused: true)
    let engine = try Engine.history(hooks)
    do {
      let stream = try engine.submit(GenerationRequest([1, 2], max: 300))
      hooks.allow(1)
      _ = stream.next(timeoutMilliseconds: nil)
    }
    hooks.resume()
    // Behind the cancellation in the mailbox; when this one is over, so is that one.
    _ = try engine.answer(GenerationRequest([1], max: 1))
    #expect(engine.statistics().finishedRequests["abort"] == 1)
    #expect(engine.statistics().kvCacheUsage == 0)
    engine.stop()
  }

  @Test("A stream without news returns an empty array when its time is up")
  func timeout() throws {
    let hooks = HistoryModel.Hooks(paused: true)
    let engine = try Engine.history(hooks)
    let stream = try engine.submit(GenerationRequest([1, 2], max: 3))
    #expect(stream.next(timeoutMilliseconds: 0) == [])
    #expect(stream.next(timeoutMilliseconds: 2) == [])
    hooks.resume()
    #expect(Answer(stream).tokens[0]?.count == 3)
    engine.stop()
  }

  @Test("One more than the queue holds is refused with a time to come back")
  func overload() throws {
    let hooks = HistoryModel.Hooks(paused: true)
    let engine = try Engine.history(hooks, sequences: 1) { $0.maxQueuedRequests = 3 }
    let running = [try engine.submit(GenerationRequest([1], max: 4))]
    hooks.waitUntilBlocked()
    let queued = try (0..<3).map { _ in try engine.submit(GenerationRequest([1], max: 4)) }
    #expect(throws: SubmissionError.overloaded(retryAfterSeconds: 1)) {
      try engine.submit(GenerationRequest([1], max: 4))
    }
    #expect(engine.statistics().rejectedRequests == 1)
    hooks.resume()
    for stream in running + queued { #expect(Answer(stream).reasons == [0: .length]) }
    #expect(try engine.answer(GenerationRequest([1], max: 4)).reasons == [0: .length])
    engine.stop()
  }

  @Test("The time to come back grows with the queue and stays within a minute")
  func retryAfter() {
    #expect(Mailbox.retryAfter(100, 0) == 1)
    #expect(Mailbox.retryAfter(10, 1e9) == 5)
    #expect(Mailbox.retryAfter(10_000, 1e9) == 60)
  }

  @Test("A drain finishes what runs and refuses what comes")
  func drain() throws {
    let hooks = HistoryModel.Hooks(paused: true)
    let engine = try Engine.history(hooks)
    let streams = try (0..<5).map { _ in try engine.submit(GenerationRequest([1, 2], max: 10)) }
    hooks.resume()
    #expect(engine.drain(timeoutMilliseconds: nil))
    for stream in streams { #expect(Answer(stream).reasons == [0: .length]) }
    #expect(throws: SubmissionError.draining) { try engine.submit(GenerationRequest([1], max: 1)) }
    #expect(engine.statistics().isAlive)
    engine.stop()
    #expect(!engine.statistics().isAlive)
    #expect(throws: SubmissionError.stopped("it was shut down")) {
      try engine.submit(GenerationRequest([1], max: 1))
    }
  }

  @Test("A drain that runs out of time aborts what is left")
  func drainDeadline() throws {
    let hooks = HistoryModel.Hooks()
    // Long enough not to be over in a millisecond: each token hashes the whole history.
    let engine = try Engine.history(hooks, length: 20_000, blocks: 2000) { $0.validateEachStep = false }
    let stream = try engine.submit(GenerationRequest([1, 2], max: 19_000))
    _ = stream.next(timeoutMilliseconds: nil)
    #expect(!engine.drain(timeoutMilliseconds: 1))
    #expect(Answer(stream).reasons == [0: .aborted])
    engine.stop()
  }

  @Test("Stopping aborts everything, twice is once, and an engine let go stops itself")
  func stop() throws {
    let hooks = HistoryModel.Hooks()
    var engine: Engine? = try Engine.history(hooks, length: 20_000, blocks: 2000)
    let streams = try (0..<3).map { _ in
      try #require(engine).submit(GenerationRequest([1, 2], max: 19_000))
    }
    _ = streams[0].next(timeoutMilliseconds: nil)
    engine?.stop()
    engine?.stop()
    for stream in streams { #expect(Answer(stream).reasons == [0: .aborted]) }
    engine = try Engine.history(hooks, length: 20_000, blocks: 2000)
    let last = try #require(engine).submit(GenerationRequest([1, 2], max: 19_000))
    engine = nil
    #expect(Answer(last).reasons == [0: .aborted])
  }

  @Test("A step that fails ends every request with the reason, and the engine with them")
  func engineFailure() throws {
    let hooks = HistoryModel.Hooks(paused: true)
    let engine = try Engine.history(hooks, sequences: 2)
    let streams = try (0..<5).map { _ in try engine.submit(GenerationRequest([1, 2], max: 10)) }
    hooks.allow(3)
    hooks.waitUntilBlocked()
    hooks.state.update { $0.failure = .device(operation: "linear", code: 700, message: "illegal address") }
    hooks.resume()
    let text = "the model failed: linear: device error 700: illegal address"
    for stream in streams { #expect(Answer(stream).reasons == [0: .failed(text)]) }
    #expect(throws: SubmissionError.stopped(text)) { try engine.submit(GenerationRequest([1], max: 1)) }
    #expect(!engine.statistics().isAlive)
    #expect(engine.statistics().finishedRequests["error"] == 5)
    #expect(engine.drain(timeoutMilliseconds: nil))
    engine.stop()
  }

  @Test("Broken logits fail their request and no other", arguments: [false, true])
  func brokenLogits(inPrompt: Bool) throws {
    let hooks = HistoryModel.Hooks(paused: true)
    hooks.state.update {
      $0.poison = 60
      $0.forced = [50: 60]
    }
    let engine = try Engine.history(hooks, batch: 64)
    var broken = GenerationRequest(inPrompt ? [1, 60, 2, 3] : [1, 50], max: 10, temperature: 0)
    if inPrompt { broken.promptLogprobs = 1 }
    broken.choices = 2
    let healthy = GenerationRequest([1, 2, 3], max: 10, temperature: 0)
    let streams = [try engine.submit(broken), try engine.submit(healthy)]
    hooks.resume()
    let answer = Answer(streams[0])
    for choice in 0..<2 {
      guard case .failed(let text) = answer.reasons[choice] else {
        // Only the choice that scores the prompt sees the broken row; the last row is whole.
        #expect(inPrompt && choice == 1)
        continue
      }
      #expect(text.contains("not finite"))
    }
    #expect(answer.tokens[0] == (inPrompt ? nil : [60]))
    #expect(Answer(streams[1]).tokens[0]?.count == 10)
    #expect(engine.statistics().isAlive && engine.statistics().kvCacheUsage == 0)
    engine.stop()
  }
}
