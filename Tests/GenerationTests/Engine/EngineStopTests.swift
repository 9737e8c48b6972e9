import Testing

@testable import Generation

@Suite struct EngineStopTests {
  /// Token 5 is followed by 6, that by 7, and so on up to 9.
  private func engine(_ hooks: HistoryModel.Hooks = HistoryModel.Hooks()) throws -> Engine {
    hooks.state.update { $0.forced = [5: 6, 6: 7, 7: 8, 8: 9] }
    return try Engine.history(hooks, length: 64)
  }

  private func request(max: Int = 20, _ change: (inout StopConditions) -> Void) -> GenerationRequest {
    var request = GenerationRequest([3, 5], max: max, temperature: 0)
    change(&request.stop)
    return request
  }

  @Test("End of text, stop tokens and length end a choice, each under its name")
  func reasons() throws {
    let engine = try engine()
    defer { engine.stop() }
    var answer = try engine.answer(request { $0.endOfTextTokens = [8, 9] })
    #expect(answer.tokens[0] == [6, 7, 8] && answer.reasons[0] == .endOfText)
    answer = try engine.answer(request { $0.stopTokens = [7] })
    #expect(answer.tokens[0] == [6, 7] && answer.reasons[0] == .stopToken(7))
    answer = try engine.answer(request(max: 3) { $0.endOfTextTokens = [9] })
    #expect(answer.tokens[0] == [6, 7, 8] && answer.reasons[0] == .length)
    // Both at once: end of text goes first.
    answer = try engine.answer(
      request(max: 2) {
        $0.endOfTextTokens = [7]
        $0.stopTokens = [7]
      })
    #expect(answer.tokens[0] == [6, 7] && answer.reasons[0] == .endOfText)
    #expect(engine.statistics().finishedRequests == ["stop": 3, "length": 1, "abort": 0, "error": 0])
  }

  @Test("End of text is an ordinary token when it is ignored; stop tokens still stop")
  func ignoreEndOfText() throws {
    let engine = try engine()
    defer { engine.stop() }
    let answer = try engine.answer(
      request {
        $0.endOfTextTokens = [7]
        $0.stopTokens = [9]
        $0.ignoreEndOfText = true
      })
    #expect(answer.tokens[0] == [6, 7, 8, 9] && answer.reasons[0] == .stopToken(9))
  }

  @Test("No end comes before min_tokens")
  func minTokens() throws {
    let engine = try engine()
    defer { engine.stop() }
    for minTokens in 0...6 {
      let answer = try engine.answer(
        request {
          $0.endOfTextTokens = [7]
          $0.stopTokens = [6]
          $0.minTokens = minTokens
        })
      let tokens = try #require(answer.tokens[0])
      #expect(tokens.count > minTokens || tokens.count == 20)
      #expect(!tokens.prefix(minTokens).contains { $0 == 6 || $0 == 7 })
    }
  }

  @Test("A request for no tokens computes its prompt and ends")
  func noTokens() throws {
    let engine = try engine()
    defer { engine.stop() }
    var request = request(max: 0) { _ in }
    request.promptLogprobs = 2
    let answer = try engine.answer(request)
    #expect(answer.tokens.isEmpty && answer.reasons[0] == .length)
    #expect(answer.prompts.first?.logprobs?.count == 2)
  }

  @Test("A prompt that fills the model's length to the last token still gets its outputs")
  func fullLength() throws {
    let engine = try engine()
    defer { engine.stop() }
    let answer = try engine.answer(GenerationRequest([Int32](repeating: 1, count: 60), max: 4))
    #expect(answer.tokens[0]?.count == 4 && answer.reasons[0] == .length)
  }

  @Test("finish(choice:) ends one choice, the others go on")
  func finishChoice() throws {
    let hooks = HistoryModel.Hooks(paused: true)
    let engine = try engine(hooks)
    var request = GenerationRequest([1, 2, 3], max: 30)
    request.choices = 3
    let stream = try engine.submit(request)
    hooks.allow(4)
    var answer = Answer()
    while answer.tokens[1]?.count ?? 0 < 4 {
      for event in stream.next(timeoutMilliseconds: nil) ?? [] { answer.take(event) }
    }
    hooks.waitUntilBlocked()
    stream.finish(choice: 1)
    stream.finish(choice: 1)
    stream.finish(choice: 9)
    stream.finish(choice: -1)
    hooks.resume()
    while let events = stream.next(timeoutMilliseconds: nil) {
      for event in events { answer.take(event) }
    }
    #expect(answer.reasons == [0: .length, 1: .aborted, 2: .length])
    #expect(answer.tokens[0]?.count == 30 && answer.tokens[2]?.count == 30)
    // The step under way still delivers; the one after it does not carry the choice.
    #expect(answer.tokens[1]?.count == 5)
    #expect(answer.disorder.isEmpty)
    let finished = engine.statistics().finishedRequests
    #expect(finished == ["stop": 1, "length": 2, "abort": 0, "error": 0])
    engine.stop()
  }
}
